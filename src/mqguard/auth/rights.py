"""What one user may do: the user and the compiled index of its policies, with a memory for verdicts."""

from mqguard.auth.index import Index
from mqguard.auth.policy import Acl
from mqguard.auth.records import AclRecord
from mqguard.auth.user import User
from mqguard.auth.verdict import Verdict

Question = tuple[object, ...]
"""What an answer is remembered by: type, name and actions, and the address where addresses matter."""

MAX_ANSWERS = 4096
"""Most answers that are kept for one user."""
MAX_ALL_ANSWERS = 1 << 18
"""Most answers that are kept for all users together: about 100 MB."""


class Budget:
    """Bounds the answers that all rights together remember; the rights that began to remember first forget first."""

    __slots__ = ("_left", "_remembering")

    def __init__(self, limit: int = MAX_ALL_ANSWERS) -> None:
        self._left = limit
        self._remembering: dict[Rights, None] = {}

    def take(self, rights: "Rights") -> None:
        """Make room for one more answer of `rights`, which is about to add it."""
        while self._left <= 0 and self._remembering:
            next(iter(self._remembering)).forget()
        self._remembering[rights] = None
        self._left -= 1

    def give_back(self, rights: "Rights", count: int) -> None:
        """Account for the answers that `rights` has forgotten."""
        if self._remembering.pop(rights, self) is None:
            self._left += count


class Rights:
    """A user and its policies as of one version. Says the same for ever; a change makes other rights.

    The policies are compiled when they are first asked, so that a start with many users is fast. What is remembered
    of earlier verdicts lives and dies with this object, hence a remembered verdict is never out of date.

    Attributes:
        user: Whose rights.
        answers: Verdicts that were given before, by question. Only `decide` touches it.
        by_address: Whether an entry asks where a request comes from; False until the policies are compiled.
    """

    __slots__ = ("_acl", "_budget", "_index", "answers", "by_address", "user")

    def __init__(self, user: User, acl: Acl | AclRecord | None, budget: Budget | None = None) -> None:
        self.user = user
        self.answers: dict[Question, Verdict] = {}
        self.by_address = False
        self._acl = acl
        self._index: Index | None = None
        self._budget = budget

    @property
    def acl(self) -> Acl | None:
        """The policies, None if there are none.

        Raises:
            RecordCorrupt: They were loaded from a store and cannot be read.
        """
        acl = self._acl
        return acl.decode() if isinstance(acl, AclRecord) else acl

    @property
    def stored_acl(self) -> Acl | AclRecord | None:
        """The policies in the form they came in."""
        return self._acl

    @property
    def index(self) -> Index | None:
        """The compiled policies, None if there are none.

        Raises:
            RecordCorrupt: As for `acl`.
        """
        if self._index is None and self._acl is not None:
            acl = self.acl
            if acl is not None:
                self._index = Index(acl)
                self.by_address = self._index.has_sources
        return self._index

    def remember(self, question: Question, answer: Verdict) -> None:
        """Keep an answer, within bounds."""
        if len(self.answers) >= MAX_ANSWERS:
            self.forget()
        if self._budget is not None:
            self._budget.take(self)
        self.answers[question] = answer

    def forget(self) -> None:
        """Drop what is remembered of earlier verdicts; they will be found again."""
        if self._budget is not None:
            self._budget.give_back(self, len(self.answers))
        self.answers.clear()
