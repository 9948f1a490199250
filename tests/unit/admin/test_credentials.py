"""Files with credentials and contexts."""

import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.admin.credentials import (
    Contexts,
    CredentialsInvalid,
    read_contexts,
    read_credentials_file,
    write_contexts,
    write_credentials_file,
)
from mqguard.auth.user import Secret
from mqguard.config.secret import Credentials

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip)


@given(TEXTS, TEXTS)
def test_written_credentials_are_read_again(name, secret):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "tools.yml"
        write_credentials_file(path, Credentials(name, Secret(secret)))
        assert read_credentials_file(path) == Credentials(name, Secret(secret))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(Path(directory).iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("accessKey: rocketmq2\nsecretKey: 0123\n", "0123"),
        ("accessKey:   rocketmq2\nsecretKey:   12345678   # a comment\n", "12345678"),
        ("accessKey: 'rocketmq2'\nsecretKey: \"a: b # c\"\n", "a: b # c"),
        ("{accessKey: rocketmq2, secretKey: yes}", "yes"),
        ("# head\n\nsecretKey: |-\n  s\naccessKey: rocketmq2\n", "s"),
    ],
)
def test_the_file_is_read_as_yaml_with_texts_as_written(tmp_path, text, secret):
    (tmp_path / "tools.yml").write_text(text)
    assert read_credentials_file(tmp_path / "tools.yml") == Credentials("rocketmq2", Secret(secret))


def test_other_keys_of_the_file_stay(tmp_path):
    path = tmp_path / "tools.yml"
    path.write_text("accessKey: a\nsecretKey: b\nsecurityToken: t\n")
    write_credentials_file(path, Credentials("a", Secret("c")))
    assert path.read_text() == "accessKey: a\nsecretKey: c\nsecurityToken: t\n"


@pytest.mark.parametrize(
    "text", ["", "a", "- a", "accessKey: a", "accessKey: a\nsecretKey: ''", "a: [", "x: !!python/x"]
)
def test_a_file_without_credentials_is_an_error_that_quotes_nothing(tmp_path, text):
    path = tmp_path / "tools.yml"
    path.write_text(text)
    with pytest.raises(CredentialsInvalid) as error:
        read_credentials_file(path)
    assert str(error.value).startswith(f"the file `{path}` ")
    assert read_credentials_file(tmp_path / "absent.yml") is None


@given(st.dictionaries(TEXTS, st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS, min_size=1))))
def test_written_contexts_are_read_again(options):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "deep" / "contexts.yaml"
        write_contexts(path, Contexts("one", options))
        assert read_contexts(path) == Contexts("one", options)
