"""A process that stores messages and says which ones are acknowledged, until it is killed."""

import sys
from pathlib import Path

from mqguard.store.ports import Table
from mqguard.store.rocksdb import RocksMessageStore
from mqguard.testing.store_contract import put


def main(path, begin):
    store = RocksMessageStore(Path(path))
    n = begin
    while True:
        first = n
        for _ in range(1 + n % 5):
            put(store, b"%d" % n + b"x" * 2000, topic=f"T{n % 3}", queue_id=n % 2, keys=(n,), time=n)
            n += 1
        store.stage_value(Table.OFFSETS, b"progress", b"%d" % n)
        if n % 7 == 0 and (queue := store.queue("T0", 0)) is not None and queue.max_offset > 3:
            store.stage_trim(queue, queue.max_offset - 3)
        store.commit(sync=n % 2 == 0)
        sys.stdout.write(f"{first} {n}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
