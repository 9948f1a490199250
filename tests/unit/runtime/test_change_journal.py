"""The journal of changes for a metadata store that cannot keep their records."""

import pytest

from mqguard.auth.errors import MetadataStoreFailed, RecordCorrupt
from mqguard.auth.ports import ChangeRecord
from mqguard.runtime.plugin_store import ChangeJournal

ONE, TWO = ChangeRecord("1", b"\x00\xff"), ChangeRecord("2", b"two")


def doubtful(record):
    return ChangeRecord(record.id, record.data, doubtful=True)


def test_records_survive_the_process_with_what_is_known_of_them(tmp_path):
    path = tmp_path / "changes.json"
    journal = ChangeJournal(path)
    journal.begin(ONE)
    journal.begin(TWO)
    assert ChangeJournal(path).records() == [doubtful(ONE), doubtful(TWO)]
    journal.made("1")
    assert ChangeJournal(path).records() == journal.records() == [ONE, doubtful(TWO)]
    journal.remove(["1", "never-there"])
    assert ChangeJournal(path).records() == [doubtful(TWO)]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a":1}', b"\xff"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "changes.json"
    path.write_bytes(content)
    with pytest.raises(RecordCorrupt, match="damaged: restore"):
        ChangeJournal(path)


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path):
    with pytest.raises(MetadataStoreFailed, match="cannot be read"):
        ChangeJournal(tmp_path)
    journal = ChangeJournal(tmp_path / "changes.json")
    journal.begin(ONE)
    (tmp_path / "changes.new").mkdir()
    with pytest.raises(MetadataStoreFailed, match="cannot be written"):
        journal.begin(TWO)
    assert journal.records() == [doubtful(ONE)]
