"""Settings of the guard, which the operator decides."""

import dataclasses
import enum

from mqguard.auth.throttle import Throttle, ThrottleLimits
from mqguard.guard.enforcement_scopes import Scope
from mqguard.guard.errors import GuardMisconfigured
from mqguard.model import names
from mqguard.model.properties import DEFAULT_REGION


class Strategy(enum.Enum):
    """The use of earlier results of a connection. Both strategies see a change of users or policies at once."""

    STATELESS = "Stateless"
    STATEFUL = "Stateful"

    @classmethod
    def parse(cls, name: str) -> "Strategy":
        """Parse a strategy by its name or by Apache's class name; blank is Stateless.

        Raises:
            GuardMisconfigured: The name is not a strategy.
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
    """The effect of a denial by policies."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    """The request is admitted, and audited as one that would be denied."""


class WhenAuditFull(enum.Enum):
    """The effect of a full audit queue on requests."""

    DROP = "drop"
    REFUSE = "refuse"


_JAVA_TRIMMED = "".join(map(chr, range(0x21)))


def parse_whitelist(text: str) -> frozenset[str]:
    """Parse a comma list of request codes and names: trimmed, compared exactly, as Apache does."""
    # Java's trim removes characters up to the space, not every kind of white space. Blank items stay and match nothing.
    return frozenset(part.strip(_JAVA_TRIMMED) for part in text.split(",") if part) if text.strip() else frozenset()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """The guard's settings, under the names of `broker.conf`.

    Attributes:
        authentication_enabled: True if requests need credentials.
        authorization_enabled: True if policies are evaluated.
        authentication_whitelist: Codes and names of requests that need no credentials.
        authorization_whitelist: Codes and names of requests for which policies are not evaluated.
        authentication_strategy: Stateless: each request is verified. Stateful: a connection is verified once for each
            version of the users.
        authorization_strategy: Used for the rulings of a plugin only. Verdicts of policies are cached with the rights
            that they come from, and a change replaces these, so both strategies decide alike.
        enforcement: The effect of a denial by policies. `Enforcer.deny` says which denials shadow mode never skips.
        shadow_anonymous: True if shadow mode also admits requests without valid credentials.
        shadow_for: Scopes that shadow mode includes although `enforcement` is `ENFORCE`.
        enforce_for: Scopes that shadow mode leaves out.
        trust_claimed_user: True to authorize by the name that clients send, without any credentials; only with
            authentication off, and never as Super.
        cluster: The name in `Cluster:<name>`.
        brokers: Names of the served brokers, whose routes tools ask for as if they were topics.
        trace_topics: The topics to which clients send traces.
        trace_topic_open: True if any authenticated user may send traces unless a policy denies it.
        default_route_open: True if anybody may ask for the route of `TBW102`, without credentials or with wrong ones.
        stateful_entries: Maximum number of users that are cached for one connection; 16 at most.
        stateful_ms: Time in milliseconds for which a connection counts as verified.
        stateful_rulings: Maximum number of cached rulings of an authorization plugin, if the strategy is Stateful.
        stateful_rulings_ms: Maximum age of a cached ruling in milliseconds.
        processes: Number of processes that verify the secrets of the same users; each has its part of the limits on
            guessing.
        denials_kept: Maximum number of denials that `mqguard why` finds in memory.
        when_audit_full: The effect of a full audit queue.
    """

    authentication_enabled: bool = False
    authorization_enabled: bool = False
    authentication_whitelist: frozenset[str] = frozenset()
    authorization_whitelist: frozenset[str] = frozenset()
    authentication_strategy: Strategy = Strategy.STATELESS
    authorization_strategy: Strategy = Strategy.STATELESS
    enforcement: Enforcement = Enforcement.ENFORCE
    shadow_anonymous: bool = False
    shadow_for: tuple[Scope, ...] = ()
    enforce_for: tuple[Scope, ...] = ()
    trust_claimed_user: bool = False
    cluster: str = "DefaultCluster"
    brokers: frozenset[str] = frozenset()
    trace_topics: frozenset[str] = names.trace_topics(names.TRACE_TOPIC, DEFAULT_REGION)
    trace_topic_open: bool = True
    default_route_open: bool = True
    stateful_entries: int = 10_000
    stateful_ms: int = 60_000
    stateful_rulings: int = 10_000
    stateful_rulings_ms: int = 60_000
    processes: int = 1
    denials_kept: int = 10_000
    when_audit_full: WhenAuditFull = WhenAuditFull.DROP

    @property
    def has_shadow(self) -> bool:
        """True if shadow mode includes anything."""
        return self.enforcement is Enforcement.SHADOW or bool(self.shadow_for)

    def throttle(self) -> Throttle:
        """Return the limits on guessing secrets."""
        return Throttle(ThrottleLimits().divided(self.processes))

    def check(self) -> None:
        """Check that the settings protect what they seem to protect.

        Raises:
            GuardMisconfigured: Authorization is on without authentication, or two settings contradict each other.
        """
        if self.authorization_enabled and not self.authentication_enabled and not self.trust_claimed_user:
            raise GuardMisconfigured(
                "`authorizationEnabled` without `authenticationEnabled` would trust any name that a client sends: "
                "switch authentication on, or set `authorizationTrustsClaimedUser = true` if that is what you want"
            )
        if self.has_shadow and self.authorization_enabled and not self.authentication_enabled:
            raise GuardMisconfigured(
                "shadow mode must know which user sent a request, or that none did: switch `authenticationEnabled` on, "
                "or remove `authorizationEnforcement = shadow` and `authorizationShadowFor`"
            )
        if self.shadow_anonymous and not (self.has_shadow and self.authorization_enabled):
            raise GuardMisconfigured(
                "`authorizationShadowAnonymous` is a part of shadow mode: set `authorizationEnforcement = shadow` or "
                "`authorizationShadowFor`, with `authorizationEnabled`, or remove it"
            )
        if (
            self.shadow_anonymous
            and all(scope.is_for_users for scope in self.shadow_for)
            and (self.enforcement is Enforcement.ENFORCE)
        ):
            raise GuardMisconfigured(
                "`authorizationShadowAnonymous` has no effect if `authorizationShadowFor` names only users: add a "
                "listener, an address or a resource, or remove it"
            )
        if self.trust_claimed_user and self.authentication_enabled:
            raise GuardMisconfigured(
                "`authorizationTrustsClaimedUser` contradicts `authenticationEnabled`: remove one of them"
            )
