"""Every served RPC has a row in the requirements table, and every method of the service is served."""

from mqguard.guard.requirements.rpc import RPC_TABLE
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.house.test_requirements import RPCS
from tests.unit.proxy.grpc.conftest import GrpcHouse


def test_every_served_rpc_is_guarded() -> None:
    """The request message of a row is the one that the server reads, so the rule sees its fields."""
    served = {name: rpc.request.DESCRIPTOR.name for name, rpc in GrpcHouse().rpcs.items()}
    assert served == {name: RPC_TABLE[name].request for name in served}


def test_every_method_of_the_service_is_served() -> None:
    """A client of any official library finds all methods."""
    assert set(GrpcHouse().rpcs) == RPCS


def test_every_answer_has_a_status() -> None:
    """A refusal is in the answer of each RPC."""
    for rpc in GrpcHouse().rpcs.values():
        assert rpc.answer.DESCRIPTOR.fields_by_name["status"].message_type.name == pb.Status.DESCRIPTOR.name
