"""Tests of policies: what must be allowed and denied, decided for every request that a test speaks of."""

import dataclasses
from collections.abc import Iterable, Iterator

from mqguard.auth.action import Action
from mqguard.auth.analysis.cells import Witness
from mqguard.auth.analysis.directory import Directory
from mqguard.auth.analysis.grid import REQUEST_ACTIONS, Grid
from mqguard.auth.analysis.names import trees
from mqguard.auth.analysis.origins import Origins
from mqguard.auth.analysis.rights import resources_of
from mqguard.auth.decide import decide
from mqguard.auth.documents.document import Assertion
from mqguard.auth.resource import Resource
from mqguard.auth.verdict import Reason, Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """A request for which a test does not hold.

    Attributes:
        user: Whose request.
        witness: The request; None when there is no such user to ask for.
        verdict: What is decided.
        message: What is wrong, in a line.
    """

    user: str
    witness: Witness | None
    verdict: Verdict | None
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one test: it holds when nothing failed."""

    assertion: Assertion
    failures: tuple[Failure, ...]

    @property
    def holds(self) -> bool:
        """Whether every request that the test speaks of is decided as it must be."""
        return not self.failures


def check(assertions: Iterable[Assertion], directory: Directory) -> tuple[Outcome, ...]:
    """Run tests on a state of users and policies.

    Returns:
        The outcome of each test; of each user, resource and action that fails, one request that shows it.
    """
    return tuple(Outcome(assertion, tuple(_failures(assertion, directory))) for assertion in assertions)


def describe(assertion: Assertion) -> str:
    """A test in one line."""
    users = ",".join(assertion.users)
    actions = ",".join(action.value for action in assertion.actions)
    resources = ",".join(resource.key for resource in assertion.resources)
    origin = ",".join(source.text for source in assertion.sources) or "anywhere"
    reason = f" ({assertion.reason.value})" if assertion.reason else ""
    return f"{users} must be {_word(assertion)}{reason}: {actions} on {resources} from {origin}"


def _failures(assertion: Assertion, directory: Directory) -> Iterator[Failure]:
    actions = REQUEST_ACTIONS if Action.ALL in assertion.actions else assertion.actions
    for user in assertion.users:
        if user not in directory.users and assertion.reason is not Reason.UNKNOWN_USER:
            yield Failure(user, None, None, f"there is no user `{user}`")
            continue
        for resource in assertion.resources:
            for action in actions:
                failure = _first_failure(assertion, directory, user, resource, action)
                if failure is not None:
                    yield failure


def _first_failure(
    assertion: Assertion, directory: Directory, user: str, resource: Resource, action: Action
) -> Failure | None:
    rights = directory.rights(user)
    for witness in _samples(assertion, directory, user, resource, action):
        verdict = decide(witness.request, rights)
        if verdict.decision is assertion.must and assertion.reason in (None, verdict.reason):
            continue
        decided = "allowed" if verdict.allowed else "denied"
        message = f"`{user}` {witness.text} is {decided} ({verdict.reason.value})"
        return Failure(user, witness, verdict, message)
    return None


def _samples(
    assertion: Assertion, directory: Directory, user: str, resource: Resource, action: Action
) -> Iterator[Witness]:
    """One request of each set that is decided the same way for the same reason; together they are all requests."""
    acl = directory.acls.get(user)
    grid = Grid(directory.users.get(user), acl)
    asked = Origins.of(assertion.sources)
    for tree in trees((*resources_of(acl), resource)):
        for place in tree.within(resource):
            name = tree.classes[place].sample()
            outcome = grid.outcome(tree, place, action)
            for origins in (outcome.allowed & asked, outcome.denied & asked, asked - outcome.spoken):
                if name is not None and not origins.is_empty:
                    yield Witness(tree.type, name, action, origins.sample())


def _word(assertion: Assertion) -> str:
    return "allowed" if assertion.must.value == "Allow" else "denied"
