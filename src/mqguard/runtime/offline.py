"""Users and policies in the data directory of a stopped server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mqguard.admin.broker_states import unavailable_errors
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.manager import MetadataManager
from mqguard.runtime.access import recorder
from mqguard.runtime.clock import SystemClock
from mqguard.runtime.incarnations import new_incarnation
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.store.sealing_key import load_sealing_key


@contextmanager
def open_manager(data: Path) -> Iterator[MetadataManager]:
    """Open the users and policies of a stopped server.

    Each change is stored with its record, which the server writes to the audit log at its next start.

    Raises:
        PolicyInvalid: The path is not a data directory, or its key is missing.
        SourceUnavailable: A server is using the data directory, or it cannot be read.
    """
    if not (data / "access").is_dir():
        raise PolicyInvalid(f"`{data}` is not a data directory of mqguard: it has no `access` directory")
    given = os.environ.get("MQGUARD_SEALING_KEY")
    if given is None and not (data / "sealing.key").exists():
        # A new key could not open the stored secrets, and would hide that the right key is missing.
        raise PolicyInvalid(f"`{data}` has no `sealing.key`: give the key of its secrets in MQGUARD_SEALING_KEY")
    key = load_sealing_key(data / "sealing.key", given)
    with unavailable_errors():
        store = RocksMetadataStore(data / "access", key)
    try:
        with unavailable_errors():
            manager = MetadataManager(store, new_incarnation)
        with manager.recorded(recorder(manager, SystemClock(), "change-offline", "a command, without a server")):
            yield manager
    finally:
        store.close()
