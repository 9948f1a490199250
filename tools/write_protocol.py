#!/usr/bin/env python3
"""Write the Python classes of `messages.proto`; with `--check`, only say whether they are fresh.

Usage: `.venv/bin/python tools/write_protocol.py [--check]`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

SOURCE = Path(__file__).resolve().parents[1] / "src"
DEFINITION = "mqguard/rpc/protocol/messages.proto"
NAMES = ("messages_pb2.py", "messages_pb2.pyi")


def generate(directory: Path) -> None:
    """Write the classes into a directory.

    Raises:
        SystemExit: The compiler found an error in the definition.
    """
    includes = Path(protoc.__file__).with_name("_proto")
    arguments = ["protoc", f"-I{SOURCE}", f"-I{includes}", f"--python_out={directory}", f"--pyi_out={directory}"]
    if protoc.main([*arguments, DEFINITION]):
        raise SystemExit("messages.proto cannot be compiled")


def main() -> None:
    """Write the classes, or compare them."""
    with tempfile.TemporaryDirectory() as directory:
        generate(Path(directory))
        for name in NAMES:
            path = Path(DEFINITION).with_name(name)
            made, stored = (Path(directory) / path).read_text(), SOURCE / path
            if "--check" not in sys.argv[1:]:
                stored.write_text(made)
            elif not stored.exists() or stored.read_text() != made:
                raise SystemExit(f"{stored.name} is not fresh: run tools/write_protocol.py")


if __name__ == "__main__":
    main()
