"""Plugins that say what a test wants, and a guard that was given them."""

from mqguard.auth.user import UserType
from mqguard.guard.plugin_adapters import InstalledPlugin, InstalledPlugins
from mqguard.guard.settings import GuardSettings
from mqguard.testing.plugin_guard import SECRET, PluginTestGuard

ON = GuardSettings(authentication_enabled=True, authorization_enabled=True)


class Scripted:
    """Answers what the test says, or raises it."""

    def __init__(self, answer, quick=True):
        self.answer = answer
        self.quick = quick
        self.asked = []

    def _say(self, *question):
        self.asked.append(question)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    authenticate = decide = check = _say


class Relying:
    """A strategy that relies on things or not."""

    def __init__(self, answer=True):
        self.answer = answer
        self.asked = []

    def accepts(self, result):
        self.asked.append(result)
        return self.answer


def guarded(settings=ON, **plugins):
    """Return a guard with plugins by port (a tuple for handlers), a Super user `root` and a user `alice`."""
    found = {}
    for port, given in plugins.items():
        if isinstance(given, tuple):
            found[port] = tuple(InstalledPlugin(f"{port}{at}", plugin, plugin.quick) for at, plugin in enumerate(given))
        else:
            found[port] = given if isinstance(given, Relying) else InstalledPlugin(port, given, given.quick)
    world = PluginTestGuard(InstalledPlugins(**found), settings)
    world.users.create_user("root", SECRET, UserType.SUPER)
    world.users.create_user("alice", SECRET)
    return world


def reason(world):
    """Why the last refusal was one."""
    return world.guard.denials.last(1)[0].event.reason
