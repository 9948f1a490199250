"""Users that the server must refuse, with the messages that their clients get."""

import dataclasses

from tests.fixtures.wire import User

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
