"""The first administrator's secret: random, readable by its owner alone, and readable by YAML as it is."""

import pytest
import yaml

from mqguard.auth.user import Secret
from mqguard.config.secret import Credentials, make_secret
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.first_start import read_credentials, save_credentials


def test_secrets_differ_and_begin_with_a_letter():
    secrets = {make_secret().reveal() for _ in range(200)}
    assert len(secrets) == 200
    assert all(len(secret) == 32 and secret[0].isalpha() and secret.isalnum() for secret in secrets)


def test_yaml_reads_the_secret_as_the_text_that_it_is():
    for secret in (make_secret().reveal() for _ in range(50)):
        assert yaml.safe_load(f"secretKey: {secret}\n") == {"secretKey": secret}


def test_what_is_saved_is_read_again_and_only_by_its_owner(tmp_path):
    saved = Credentials("admin", make_secret())
    path = save_credentials(tmp_path, saved)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_credentials(tmp_path) == saved
    again = Credentials("admin", make_secret())
    assert save_credentials(tmp_path, again) == path
    assert read_credentials(tmp_path) == again
    assert [item.name for item in tmp_path.iterdir()] == ["tools.yml"]


@pytest.mark.parametrize(
    "content", [b"", b"accessKey: a\n", b"secretKey: b\n", b"\xff\xfe", b"accessKey:a\nsecretKey:b"]
)
def test_a_file_without_credentials_has_none(tmp_path, content):
    (tmp_path / "tools.yml").write_bytes(content)
    assert read_credentials(tmp_path) is None


def test_a_missing_file_has_no_credentials_and_a_missing_directory_is_an_error(tmp_path):
    assert read_credentials(tmp_path) is None
    with pytest.raises(StartFailed, match="cannot be written: No such file or directory"):
        save_credentials(tmp_path / "none", Credentials("admin", Secret("s3cret-s3cret")))
