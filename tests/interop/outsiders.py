"""Users that the server must refuse, with the messages that their clients get."""

import dataclasses

from tests.fixtures.access import create_topic, create_user, disable_user, entry, grant
from tests.fixtures.wire import User, Wire

INSIDER = User("alice", "alice-secret")
"""The user that may send to the topic `orders` and receive as the groups `orders_…`."""

NO_PERMISSION = 16


@dataclasses.dataclass(frozen=True)
class Outsider:
    """A user who is denied, and the message with the reason.

    Attributes:
        user: The credentials, right or wrong.
        remark: The message of the server.
        stranger: True if the credentials are invalid. Then the name server gives only the route of new topics. A
            producer gets the message from the broker; a consumer, which does not ask for that route, only reports that
            there is no route.
    """

    user: User | None
    remark: str
    stranger: bool = False


WRONG = r"(check signature failed|Authentication failed\. Please verify the credentials and try again)\."
"""Messages for invalid credentials; the second is that of a name that failed often from the same address."""

OUTSIDERS = {
    "no credentials": Outsider(None, r"username cannot be null\.", stranger=True),
    "unknown user": Outsider(User("nobody", "secret"), WRONG + r"|User:nobody is not found\.", stranger=True),
    "wrong secret": Outsider(User("walter", "wrong"), WRONG, stranger=True),
    "disabled": Outsider(User("dora", "dora-secret"), r"User:dora is disabled\.", stranger=True),
    "no policy": Outsider(
        User("paul", "paul-secret"), r"User:paul has no permission to access \w+:\w+ from .*, no matched policies\."
    ),
    "denied under a wider allow": Outsider(
        User("dan", "dan-secret"), r"User:dan has no permission to access \w+:\w+ from .*, the decision is deny\."
    ),
    "wrong address": Outsider(
        User("wanda", "wanda-secret"), r"User:wanda has no permission to access \w+:\w+ from .*, no matched policies\."
    ),
}


def create_insider_and_outsiders(admin: Wire) -> None:
    """Create the topic `orders`, one user with permissions, and one of each kind without."""
    create_topic(admin, "orders", queues=1)
    for name in ("alice", "dora", "paul", "dan", "wanda", "walter"):
        create_user(admin, name, f"{name}-secret")
    allowed = (entry("Topic:orders", "Pub,Sub"), entry("Group:orders_*", "Sub"))
    grant(admin, "alice", *allowed)
    grant(admin, "walter", *allowed)
    grant(admin, "dora", *allowed)
    disable_user(admin, "dora")
    grant(admin, "dan", entry("Topic:*", "All"), entry("Group:*", "All"))
    grant(
        admin,
        "dan",
        entry("Topic:orders", "All", "Deny"),
        entry("Topic:forbidden", "All", "Deny"),
        entry("Group:orders_group", "Sub", "Deny"),
    )
    grant(admin, "wanda", entry("Topic:*", "All", sources=("10.0.0.0/8",)), entry("Group:*", "All", sources=("::2",)))
