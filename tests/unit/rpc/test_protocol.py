"""The messages of gRPC: generated from their definition, and the same methods as in the table of requirements."""

import subprocess
import sys
from pathlib import Path

from mqguard.guard.requirements.rpc import RPC_TABLE
from mqguard.rpc.protocol import messages_pb2

ROOT = Path(__file__).resolve().parents[3]


def test_the_classes_are_made_from_the_definition() -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "write_protocol.py", "--check"], check=True)


def test_every_method_has_a_requirement_and_its_request() -> None:
    methods = messages_pb2.DESCRIPTOR.services_by_name["MessagingService"].methods
    assert {method.name: method.input_type.name for method in methods} == {
        name: row.request for name, row in RPC_TABLE.items()
    }
