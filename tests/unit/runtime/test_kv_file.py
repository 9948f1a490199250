"""The name server's key-value file: whole or not at all."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.runtime.data_directory import KvFile
from mqguard.store.errors import StoreCorrupt, StoreFailed

VALUES = st.dictionaries(st.text(max_size=5), st.dictionaries(st.text(max_size=5), st.text(max_size=5)), max_size=4)


@given(VALUES)
def test_what_is_saved_is_loaded(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("kv") / "kv.json"
    KvFile(path).save(values)
    assert KvFile(path).load() == values


def test_a_missing_file_has_no_values(tmp_path):
    assert KvFile(tmp_path / "kv.json").load() == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a":1}', b"\xff"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "kv.json"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match=f"`{path}` is damaged"):
        KvFile(path).load()


def test_a_place_that_cannot_be_written_keeps_the_old_values(tmp_path):
    path = tmp_path / "kv.json"
    KvFile(path).save({"a": {"b": "c"}})
    path.with_suffix(".new").mkdir()
    with pytest.raises(StoreFailed, match="cannot be written"):
        KvFile(path).save({})
    assert KvFile(path).load() == {"a": {"b": "c"}}


def test_the_new_file_survives_a_loss_of_power(tmp_path, monkeypatch):
    synced = []
    syncing = os.fsync

    def fsync(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        syncing(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "kv.json"
    KvFile(path).save({"a": {"b": "c"}})
    assert synced == [path.stat().st_ino, tmp_path.stat().st_ino]
