"""The fuzz entry point: its seeds pass, and a fault is found, shown and counted."""

import random

import pytest

from fuzz import fuzz_frame
from mqguard.remoting import frame
from mqguard.remoting.command import Command


@pytest.mark.parametrize("seed", fuzz_frame.SEEDS)
def test_seeds_pass(seed: bytes) -> None:
    fuzz_frame.check(seed)


def test_mutated_seeds_pass() -> None:
    chance = random.Random(5)
    for _ in range(500):
        fuzz_frame.check(fuzz_frame.mutate(chance))


def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def forgetful(self: frame.FrameReader, data: bytes) -> list[Command]:
        return real(self, data)[:1]

    real = frame.FrameReader.feed
    monkeypatch.setattr(frame.FrameReader, "feed", forgetful)
    assert fuzz_frame.run_random(20, 1) == 1
    assert "a split changes what is read" in capsys.readouterr().err


def test_nothing_found_is_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz_frame.run_random(0.2, 1) == 0
    assert "nothing found (seed 1)" in capsys.readouterr().out
