"""The port to the brokers. A broker gets requests of the remoting protocol, whether it is in this process or not."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.model.peer import Peer
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.remoting.command import Command
from mqguard.remoting.link import Link

OnAnswer = Callable[[Command | Exception], None]
"""Receiver of the answer of a broker, or of the error without one: a denial, calls of plugins that must be made first,
or a broker that cannot be reached. It is called at most once, perhaps before the request returns."""


class Route(msgspec.Struct, frozen=True):
    """The place of a topic.

    Attributes:
        brokers: Its queues on each broker that has the topic, by broker name.
    """

    brokers: dict[str, TopicConfig]

    @property
    def readable(self) -> list[tuple[str, TopicConfig]]:
        """The brokers from which the topic can be read."""
        return [(name, topic) for name, topic in self.brokers.items() if topic.readable and topic.read_queues > 0]

    @property
    def writable(self) -> list[tuple[str, TopicConfig]]:
        """The brokers to which the topic can be written."""
        return [(name, topic) for name, topic in self.brokers.items() if topic.writable and topic.write_queues > 0]


OnRoute = Callable[[Route | Exception | None], None]
"""Receiver of a route, None if there is no such topic. It gets an error if nobody knows."""
OnGroup = Callable[[SubscriptionGroupConfig | Exception | None], None]
"""Receiver of a group, None if there is no such group and consuming does not create it. It gets an error if nobody
knows."""


class PendingRequest(Protocol):
    """A request that has no answer yet."""

    def cancel(self) -> None:
        """Drop the request, such as a pop that waits for messages. Its answer has no receiver any more."""


class Backend(Protocol):
    """The brokers. Everything happens in the event-loop thread."""

    def has_broker(self, name: str) -> bool:
        """Return True if there is a broker of that name, which a client may have invented."""
        ...  # pragma: no cover

    def route(self, topic: str, access: AdmittedRequest, on_route: OnRoute) -> None:
        """Find a topic.

        Args:
            topic: The topic.
            access: The admitted call, for whose sender the look-up counts.
            on_route: Receiver of the route.
        """

    def group(self, name: str, access: AdmittedRequest, on_group: OnGroup) -> None:
        """Find a consumer group, or the defaults of one that consuming would create.

        Args:
            name: The group.
            access: The admitted call, for whose sender the look-up counts.
            on_group: Receiver of the group.
        """

    def request(
        self, broker: str, command: Command, peer: Peer, access: AdmittedRequest, on_answer: OnAnswer
    ) -> PendingRequest:
        """Send a request to a broker.

        Args:
            broker: Name of the broker.
            command: The request.
            peer: The connection of the client.
            access: The admitted call, which decides about everything that the request reaches. A broker in the same
                process asks it; for other brokers it is asked before the request is sent.
            on_answer: Receiver of the answer.

        Raises:
            PluginCallsPending: Plugins must be called first; nothing has been done.
        """
        ...  # pragma: no cover

    def request_of(self, link: Link, command: Command, access: AdmittedRequest, on_answer: OnAnswer) -> None:
        """Send a request of a client that stays connected, such as a heartbeat, to all brokers.

        Args:
            link: The client. Requests of brokers, such as checks of transactions, are sent to it.
            command: The request.
            access: The admitted call.
            on_answer: Receiver of the answer of one of the brokers.
        """

    def answer(self, link: Link, command: Command) -> None:
        """Pass the answer of a client to a request of a broker on."""

    def connected(self, link: Link) -> None:
        """Note a client that may get requests."""

    def left(self, link: Link) -> None:
        """Forget a client."""
