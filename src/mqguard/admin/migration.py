"""Migration of ACL 1.0 accounts: read from files, stored at brokers, or written as a policy file with secret files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mqguard.admin.broker_states import BrokerState, apply_at
from mqguard.admin.credentials import new_directory, new_secret_file, secret_file_name
from mqguard.admin.policy_files import is_secret
from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.documents.document import SecretPlace, SecretReference
from mqguard.auth.documents.writer import SecretOf, write_document
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.migration.acl_v1 import AclV1File, AclV1FileInvalid, parse_acl_v1
from mqguard.auth.migration.conversion import MigrationOptions
from mqguard.auth.migration.migration import Migration, plan_migration
from mqguard.config.acl_v1_files import AclV1Text, read_acl_v1, read_acl_v1_file


def read_files(paths: Sequence[Path]) -> list[AclV1File]:
    """Read ACL 1.0 files.

    Raises:
        MqguardError: A file cannot be read, or some are not valid; the error has every problem of all files.
    """
    return _parse(AclV1Text(str(path), read_acl_v1_file(path), unordered=False) for path in paths)


def read_home(home: Path) -> list[AclV1File]:
    """Read the ACL 1.0 files of a RocketMQ home; the list is empty if there are none.

    Raises:
        MqguardError: A file cannot be read, or some are not valid; the error has every problem of all files.
    """
    return _parse(read_acl_v1(home))


def _parse(texts: Iterable[AclV1Text]) -> list[AclV1File]:
    files: list[AclV1File] = []
    problems: list[str] = []
    for text in texts:
        try:
            files.append(parse_acl_v1(text.name, text.text, unordered=text.unordered))
        except AclV1FileInvalid as error:
            problems.append(str(error))
    if problems:
        raise PolicyInvalid("\n".join(problems))
    return files


def migrate_to_brokers(files: list[AclV1File], brokers: Sequence[BrokerState], options: MigrationOptions) -> Migration:
    """Create the accounts at every broker that lacks them.

    Returns:
        The migration of the broker that lacked most accounts.

    Raises:
        MqguardError: A broker did not make its changes; see `apply_at`.
    """
    migrations = [plan_migration(files, broker.directory, options) for broker in brokers]
    apply_at(brokers, [migration.changes for migration in migrations])
    return max(migrations, key=lambda migration: len(migration.converted))


def write_migration(migration: Migration, out: Path) -> None:
    """Write the accounts as a policy file, and each secret into a file that only its owner can read.

    Raises:
        PolicyInvalid: The directory exists or cannot be written, or a file cannot hold a secret.
    """
    names = {
        one.user.name: f"secrets/{secret_file_name(at, one.user.name)}" for at, one in enumerate(migration.converted, 1)
    }

    def reference_to(name: str) -> SecretReference:
        return SecretReference(SecretPlace.FILE, names[name])

    directory = AccessState.of(
        [one.user for one in migration.converted], [one.acl for one in migration.converted if one.acl is not None]
    )
    for one in migration.converted:
        if not is_secret(one.user.secrets[0].secret.reveal()):
            raise PolicyInvalid(
                f"the secret of `{one.user.name}` is not a line of text, so a file cannot hold it: use `--apply`"
            )
    try:
        _write_all(out, directory, reference_to, names)
    except OSError as error:
        raise PolicyInvalid(f"`{out}` cannot be written: {error.strerror}") from None


def _write_all(out: Path, directory: AccessState, reference_to: SecretOf, names: dict[str, str]) -> None:
    with new_directory(out) as whole:
        (whole / "secrets").mkdir(mode=0o700)
        for name, file in names.items():
            new_secret_file(whole / file, directory.users[name].secrets[0].secret)
        (whole / "policy.yaml").write_text(write_document(directory, reference_to), encoding="utf-8")
