"""Several servers share one store: no change is lost, however late they receive the changes of others."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mqguard.auth.errors import MetadataRejected
from mqguard.auth.manager import MetadataManager
from mqguard.store.metadata.memory import MemoryMetadataStore
from tests.fixtures.metadata import DelayedStore
from tests.property.auth.test_changes import USERS, everything, operations
from tests.property.auth.worlds import EXAMPLES

DELIVER = "deliver"
SERVERS = 3


steps = st.lists(
    st.tuples(st.integers(0, SERVERS - 1), operations | st.just((DELIVER, ()))),
    min_size=5,
    max_size=30,
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(steps)
def test_changes_of_all_servers_equal_those_of_one(history):
    """The result is as if one server had made all successful changes, one after the other."""
    first = DelayedStore()
    stores = [first, *(first.share() for _ in range(SERVERS - 1))]
    servers = [MetadataManager(store) for store in stores]
    alone = MetadataManager(MemoryMetadataStore())
    for name in USERS[:2]:
        servers[0].create_user(name, "s")
        alone.create_user(name, "s")
    for number, (operation, arguments) in history:
        if operation == DELIVER:
            stores[number].deliver()
            continue
        try:
            getattr(servers[number], operation)(*arguments)
        except MetadataRejected:
            continue  # by what this server knows, which may be old
        getattr(alone, operation)(*arguments)
        assert everything(servers[number]) == everything(alone)
    for store in stores:
        store.deliver()
    for server in servers:
        assert everything(server) == everything(alone) == everything(MetadataManager(first))
