import base64
import stat
import subprocess
import sys

import pytest

from mqguard.auth.seal import SealingKey
from mqguard.auth.user import Secret
from mqguard.store.sealing_key import SealingKeyUnusable, load_sealing_key

RAW = bytes(range(32))


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "made" / "key"
    key = load_sealing_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_sealing_key(path).id == key.id
    assert [file.name for file in path.parent.iterdir()] == ["key"]
    sealed = key.seal("a", Secret("s"), bytes(12))
    assert load_sealing_key(path).open("a", sealed) == Secret("s")


def test_every_key_that_is_made_is_another(tmp_path):
    assert load_sealing_key(tmp_path / "a").id != load_sealing_key(tmp_path / "b").id


@pytest.mark.parametrize("text", [RAW.hex(), base64.b64encode(RAW).decode(), f" {RAW.hex().upper()}\n"])
def test_the_environment_goes_before_the_file(tmp_path, text):
    assert load_sealing_key(tmp_path / "key", text).id == SealingKey(RAW).id
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("text", ["", "x", "00" * 31, "zz" * 32, base64.b64encode(bytes(16)).decode(), "é" * 44])
def test_an_invalid_key_is_refused_and_not_shown(tmp_path, text):
    with pytest.raises(SealingKeyUnusable, match="32 random bytes in Base64 or hex") as caught:
        load_sealing_key(tmp_path / "key", text)
    assert len(text) < 2 or text not in str(caught.value)
    (tmp_path / "key").write_text(text)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(SealingKeyUnusable, match=str(tmp_path)):
        load_sealing_key(tmp_path / "key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_not_used(tmp_path, mode):
    path = tmp_path / "key"
    load_sealing_key(path)
    path.chmod(mode)
    with pytest.raises(SealingKeyUnusable, match="chmod 600"):
        load_sealing_key(path)


def test_a_path_that_cannot_be_used_is_reported(tmp_path):
    with pytest.raises(SealingKeyUnusable, match="cannot be read"):
        load_sealing_key(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SealingKeyUnusable):
        load_sealing_key(tmp_path / "file" / "key")


def test_of_processes_that_start_together_one_makes_the_key(tmp_path):
    code = f"from pathlib import Path; from mqguard.store.sealing_key import load_sealing_key; print(load_sealing_key(Path({str(tmp_path / 'key')!r})).id)"
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    ids = {child.communicate()[0].strip() for child in children}
    assert ids == {load_sealing_key(tmp_path / "key").id}
