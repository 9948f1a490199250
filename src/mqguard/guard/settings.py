"""Settings of the guard, which the operator decides."""

import dataclasses
import enum

from mqguard.guard.errors import GuardMisconfigured
from mqguard.model import names


class Strategy(enum.Enum):
    """Whether a connection is asked anew with every request. Both see a change of users or policies at once."""

    STATELESS = "Stateless"
    STATEFUL = "Stateful"

    @classmethod
    def parse(cls, name: str) -> "Strategy":
        """Read a strategy by our name or by Apache's class name; blank is Stateless.

        Raises:
            GuardMisconfigured: It is neither.
        """
        short = name.strip().rpartition(".")[2]
        if not short:
            return cls.STATELESS
        for strategy in cls:
            if short in {
                strategy.value,
                f"{strategy.value}AuthenticationStrategy",
                f"{strategy.value}AuthorizationStrategy",
            }:
                return strategy
        raise GuardMisconfigured(f"unknown strategy `{name}`: use Stateless or Stateful")


class Enforcement(enum.Enum):
    """What becomes of a request that policies do not allow."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    """It is let in, and put on record as one that would be refused."""


class WhenAuditFull(enum.Enum):
    """What happens to requests while the audit queue is full."""

    DROP = "drop"
    REFUSE = "refuse"


_JAVA_TRIMMED = "".join(map(chr, range(0x21)))


def parse_whitelist(text: str) -> frozenset[str]:
    """Read a comma list of request codes and RPC names: trimmed, compared exactly, as Apache does."""
    # Java's trim takes off what is at most a space, not every kind of white space; blank items stay and match nothing.
    return frozenset(part.strip(_JAVA_TRIMMED) for part in text.split(",") if part) if text.strip() else frozenset()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """The guard's settings, under the names of `broker.conf`.

    Attributes:
        authentication_enabled: Whether a request must prove who sent it.
        authorization_enabled: Whether policies are asked.
        authentication_whitelist: Codes (as text) and RPC names that need no proof.
        authorization_whitelist: Codes (as text) and RPC names about which policies are not evaluated.
        authentication_strategy: Whether each request is verified, or a connection once per version of the users.
        authorization_strategy: Of either name: verdicts are remembered with the rights that they were made from, which
            a change replaces, so that there is nothing to trade and both decide alike.
        enforcement: Whether what policies do not allow is refused. See `refusing.Refuser.deny` for what always is.
        trust_claimed_user: Authorize by the name that clients send, although nothing proves it; only with
            authentication off, and never as Super.
        cluster: The name in `Cluster:<name>`.
        brokers: Names of the brokers served, whose routes tools ask for as if they were topics.
        trace_topic: Where clients send traces.
        trace_topic_open: Whether any authenticated user may send traces unless a policy speaks against it.
        default_route_open: True if anybody may ask for the route of `TBW102`, without credentials or with wrong ones.
        stateful_entries: Maximum number of users that are cached for one connection; 16 at most.
        stateful_ms: How long a connection counts as verified, in milliseconds.
        stateful_rulings: Most rulings of an authorization plugin to remember, where the strategy is Stateful.
        stateful_rulings_ms: How long they are remembered, in milliseconds.
        denials_kept: How many refusals `mqguard why` remembers.
        when_audit_full: What happens while the audit queue is full.
    """

    authentication_enabled: bool = False
    authorization_enabled: bool = False
    authentication_whitelist: frozenset[str] = frozenset()
    authorization_whitelist: frozenset[str] = frozenset()
    authentication_strategy: Strategy = Strategy.STATELESS
    authorization_strategy: Strategy = Strategy.STATELESS
    enforcement: Enforcement = Enforcement.ENFORCE
    trust_claimed_user: bool = False
    cluster: str = "DefaultCluster"
    brokers: frozenset[str] = frozenset()
    trace_topic: str = names.TRACE_TOPIC
    trace_topic_open: bool = True
    default_route_open: bool = True
    stateful_entries: int = 10_000
    stateful_ms: int = 60_000
    stateful_rulings: int = 10_000
    stateful_rulings_ms: int = 60_000
    denials_kept: int = 10_000
    when_audit_full: WhenAuditFull = WhenAuditFull.DROP

    def check(self) -> None:
        """Refuse settings that would open what they seem to close.

        Raises:
            GuardMisconfigured: Authorization without authentication, or a contradiction.
        """
        if self.authorization_enabled and not self.authentication_enabled and not self.trust_claimed_user:
            raise GuardMisconfigured(
                "`authorizationEnabled` without `authenticationEnabled` would trust any name that a client sends: "
                "switch authentication on, or set `authorizationTrustsClaimedUser = true` if that is what you want"
            )
        if self.enforcement is Enforcement.SHADOW and self.authorization_enabled and not self.authentication_enabled:
            raise GuardMisconfigured(
                "`authorizationEnforcement = shadow` overlooks refusals of authenticated users only: switch "
                "`authenticationEnabled` on, or remove it"
            )
        if self.trust_claimed_user and self.authentication_enabled:
            raise GuardMisconfigured(
                "`authorizationTrustsClaimedUser` contradicts `authenticationEnabled`: remove one of them"
            )
