"""The parts of a server, of its users and of its resources that shadow mode includes or leaves out."""

import msgspec

from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.resource import Resource
from mqguard.auth.source import Address, Source, parse_address
from mqguard.guard.errors import GuardMisconfigured
from mqguard.guard.permissions import RequiredPermission

MAX_SCOPES = 256
"""Maximum number of scopes of one option: every denial is compared with all of them."""

_FORM = (
    "write `User:alice`, `Topic:orders`, `Group:pay*`, `Cluster:main`, `Listener:9876` or `From:10.0.0.0/8`, "
    "or several of these joined by `&`"
)


class DenialFacts(msgspec.Struct, gc=False):
    """What scopes compare of a denial.

    Attributes:
        user: The authenticated user, or the name that an unauthenticated request claims; empty for none.
        permission: The permission that is not granted; None if the request needs none.
        source: The source address.
        listener: The port of the listener, 0 if it is not known.
        is_authenticated: True if the user is authenticated.
    """

    user: str
    permission: RequiredPermission | None
    source: str
    listener: int
    is_authenticated: bool


class Scope(msgspec.Struct, frozen=True):
    """One scope; it matches what all of its parts match.

    Attributes:
        text: The operator's notation.
        users: Names of users; empty for any.
        resources: Resources; empty for any.
        sources: Ranges of addresses; empty for any.
        listeners: Ports of listeners; empty for any.
    """

    text: str
    users: tuple[str, ...] = ()
    resources: tuple[Resource, ...] = ()
    sources: tuple[Source, ...] = ()
    listeners: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """Parse one scope.

        Raises:
            GuardMisconfigured: It has another form.
        """
        users, resources, sources, listeners = [], [], [], []
        for part in text.split("&"):
            word = part.strip()
            kind, _, name = word.partition(":")
            try:
                match kind.strip().lower():
                    case "user" if name and "*" not in name:
                        users.append(name)
                    case "from" if name:
                        sources.append(Source.parse(name))
                    case "listener" if name.isdecimal() and 0 < int(name) <= _MAX_PORT:
                        listeners.append(int(name))
                    case "topic" | "group" | "cluster" | "namespace":
                        resources.append(Resource.parse(word))
                    case _:
                        raise GuardMisconfigured(f"`{word}` is not a scope: {_FORM}")
            except PolicyInvalid as invalid:
                raise GuardMisconfigured(f"`{word}` is not a scope: {invalid}") from None
        return cls(text.strip(), tuple(users), tuple(resources), tuple(sources), tuple(listeners))

    @property
    def is_for_users(self) -> bool:
        """True if the scope matches only certain users."""
        return bool(self.users)

    def matches(self, facts: DenialFacts) -> bool:
        """Return True if a denial is in the scope."""
        permission = facts.permission
        return (
            all(user == facts.user for user in self.users)
            and all(port == facts.listener for port in self.listeners)
            and all(
                permission is not None and resource.covers(permission.type, permission.name)
                for resource in self.resources
            )
            and (not self.sources or _is_from(self.sources, parse_address(facts.source)))
        )


_MAX_PORT = 65_535


def _is_from(sources: tuple[Source, ...], address: Address | None) -> bool:
    return address is not None and all(address in source.network for source in sources)


def parse_scopes(text: str) -> tuple[Scope, ...]:
    """Parse scopes that are separated by commas.

    Raises:
        GuardMisconfigured: One has another form, or there are too many.
    """
    words = [word for word in text.split(",") if word.strip()]
    if len(words) > MAX_SCOPES:
        raise GuardMisconfigured(f"{len(words)} scopes are too many: write at most {MAX_SCOPES}")
    return tuple(map(Scope.parse, words))


class ShadowScopes:
    """Decides if a denial is only recorded.

    Args:
        is_whole: True if shadow mode includes everything.
        shadowed: Scopes that shadow mode includes, if it does not include everything.
        enforced: Scopes that it leaves out, whatever the others say.

    Attributes:
        is_empty: True if shadow mode includes nothing.
    """

    def __init__(self, *, is_whole: bool, shadowed: tuple[Scope, ...], enforced: tuple[Scope, ...]) -> None:
        self.is_empty = not is_whole and not shadowed
        self._is_whole = is_whole
        # A name that is only claimed must not choose the mode that admits it.
        self._for_strangers = tuple(scope for scope in shadowed if not scope.is_for_users)
        self._shadowed = shadowed
        self._enforced = enforced

    def enforce(self, facts: DenialFacts) -> bool:
        """Return True if shadow mode leaves a denial out, whatever else it includes."""
        return any(scope.matches(facts) for scope in self._enforced)

    def include(self, facts: DenialFacts) -> bool:
        """Return True if shadow mode includes a denial."""
        if self.enforce(facts):
            return False
        shadowed = self._shadowed if facts.is_authenticated else self._for_strangers
        return self._is_whole or any(scope.matches(facts) for scope in shadowed)
