"""Work of several iterations delays later requests of its connection, and alternates with other connections."""

from mqguard.remoting.command import Command
from mqguard.remoting.frame import encode_reply
from mqguard.remoting.link import Link
from tests.fixtures.waiting import eventually
from tests.unit.net.serving import BIG, Echo, asking, serving
from tests.unit.net.test_server import settings

STEPS = 5


class Working(Echo):
    """Starts work for each large request, and continues it only when `is_free`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_free = False
        self.steps = 0

    def commands(self, link: Link, commands: list[Command]) -> None:
        for at, command in enumerate(commands):
            if command.code != BIG:
                super().commands(link, [command])
                continue
            left = iter(range(STEPS))

            def work(_until: float, opaque: int = command.opaque) -> bool:
                self.steps += 1
                if not self.is_free:
                    return True
                if next(left, None) is not None:  # noqa: B023 - called after the loop has ended
                    return True
                link.send(encode_reply(opaque, 0))
                return False

            link.work.add(work)
            rest = commands[at + 1 :]
            link.work.add(lambda _until: bool(self.commands(link, rest)))  # noqa: B023 - as above
            return


def test_later_requests_of_the_connection_wait_and_those_of_others_do_not() -> None:
    app = Working()
    with serving(app, settings()) as running, running.connect() as busy, running.connect() as other:
        busy.send(asking(1, BIG) + asking(2))
        assert eventually(lambda: app.steps > 3)
        busy.ask(3)
        assert [other.call(number).opaque for number in range(3)] == [0, 1, 2]
        app.is_free = True
        assert [answer.opaque for answer in busy.read(3)] == [1, 2, 3]


def test_work_ends_with_its_connection() -> None:
    app = Working()
    with serving(app, settings()) as running, running.connect() as other, running.connect() as busy:
        busy.ask(1, BIG)
        assert eventually(lambda: app.steps > 3)
        (link,) = (link for link in running.server.links if link.work)
        running.loop.call_soon_threadsafe(link.cut, "the test asks for it")
        assert eventually(lambda: len(app.gone) == 1)
        steps = app.steps
        assert other.call()
        assert app.steps == steps


def test_requests_before_the_end_of_a_connection_are_answered() -> None:
    app = Working()
    with serving(app, settings()) as running, running.connect() as busy:
        busy.send(asking(1, BIG) + asking(2))
        busy.socket.shutdown(1)
        assert eventually(lambda: app.steps > 3)
        app.is_free = True
        assert [answer.opaque for answer in busy.read(2)] == [1, 2]
