"""Tests of policies: requests that must be allowed or denied, decided for every request that a test matches."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator

from mqguard.auth.analysis.access_state import AccessState, resources_of
from mqguard.auth.analysis.evaluation import REQUEST_ACTIONS, PolicyEvaluation
from mqguard.auth.analysis.names import NameTree, trees
from mqguard.auth.analysis.regions import Witness
from mqguard.auth.analysis.source_sets import SourceSet
from mqguard.auth.decide import decide
from mqguard.auth.documents.document import Assertion
from mqguard.auth.policy import Action
from mqguard.auth.resource import Resource
from mqguard.auth.verdict import Reason, Verdict

_JUDGES = 64
"""Number of users whose compiled policies are cached: tests of one user are usually adjacent."""


@dataclasses.dataclass(frozen=True, slots=True)
class AssertionFailure:
    """A request for which a test fails.

    Attributes:
        user: The user of the request.
        witness: The request, or None if no such user exists.
        verdict: The verdict.
        message: The problem, in one line.
    """

    user: str
    witness: Witness | None
    verdict: Verdict | None
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class AssertionResult:
    """The result of one test, which holds if it has no failures."""

    assertion: Assertion
    failures: tuple[AssertionFailure, ...]

    @property
    def holds(self) -> bool:
        """True if every request that the test matches is decided as required."""
        return not self.failures


def check(assertions: Iterable[Assertion], directory: AccessState) -> tuple[AssertionResult, ...]:
    """Run tests on a state of users and policies.

    Returns:
        The result of each test, with one failing request for each user, resource and action.
    """
    judges = functools.lru_cache(maxsize=_JUDGES)(functools.partial(_Judge, directory))
    return tuple(AssertionResult(assertion, tuple(_failures(assertion, directory, judges))) for assertion in assertions)


def describe(assertion: Assertion) -> str:
    """Return a test in one line."""
    users = ",".join(assertion.users)
    actions = ",".join(action.value for action in assertion.actions)
    resources = ",".join(resource.key for resource in assertion.resources)
    source = ",".join(source.text for source in assertion.sources) or "anywhere"
    reason = f" ({assertion.reason.value})" if assertion.reason else ""
    return f"{users} must be {_word(assertion)}{reason}: {actions} on {resources} from {source}"


class _Judge:
    """Decides one user's requests, with its policies compiled once."""

    def __init__(self, directory: AccessState, user: str) -> None:
        acl = directory.acls.get(user)
        self._user = user
        self._rights = directory.rights(user)
        self._grid = PolicyEvaluation(directory.users.get(user), acl)
        self._resources = frozenset(resources_of(acl))
        self._own = trees(self._resources)

    def failures(
        self, assertion: Assertion, resource: Resource, actions: Iterable[Action]
    ) -> Iterator[AssertionFailure]:
        """Yield the first request of each action that is not decided as required."""
        forest = self._own if resource in self._resources else trees((*self._resources, resource))
        for action in actions:
            failure = self._first_failure(assertion, forest, resource, action)
            if failure is not None:
                yield failure

    def _first_failure(
        self, assertion: Assertion, forest: Iterable[NameTree], resource: Resource, action: Action
    ) -> AssertionFailure | None:
        for witness in self._samples(assertion, forest, resource, action):
            verdict = decide(witness.request, self._rights)
            if verdict.decision is assertion.must and assertion.reason in (None, verdict.reason):
                continue
            decided = "allowed" if verdict.allowed else "denied"
            message = f"`{self._user}` {witness.text} is {decided} ({verdict.reason.value})"
            return AssertionFailure(self._user, witness, verdict, message)
        return None

    def _samples(
        self, assertion: Assertion, forest: Iterable[NameTree], resource: Resource, action: Action
    ) -> Iterator[Witness]:
        """Yield one request of each set with the same decision and reason; together the sets are all requests."""
        asked = SourceSet.of(assertion.sources)
        for tree in forest:
            for place in tree.within(resource):
                name = tree.classes[place].sample()
                outcome = self._grid.outcome(tree, place, action)
                for sources in (outcome.allowed & asked, outcome.denied & asked, asked - outcome.decided):
                    if name is not None and not sources.is_empty:
                        yield Witness(tree.type, name, action, sources.sample())


def _failures(
    assertion: Assertion, directory: AccessState, judges: Callable[[str], _Judge]
) -> Iterator[AssertionFailure]:
    actions = REQUEST_ACTIONS if Action.ALL in assertion.actions else assertion.actions
    for user in assertion.users:
        if user not in directory.users and assertion.reason is not Reason.UNKNOWN_USER:
            yield AssertionFailure(user, None, None, f"the user `{user}` does not exist")
            continue
        for resource in assertion.resources:
            yield from judges(user).failures(assertion, resource, actions)


def _word(assertion: Assertion) -> str:
    return "allowed" if assertion.must.value == "Allow" else "denied"
