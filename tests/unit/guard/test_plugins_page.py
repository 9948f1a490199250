"""The examples of `docs/plugins.md` are run: what the page defines is defined here, its tests included."""

import re
from pathlib import Path

import pytest

from mqguard.guard.plugin_api import CachedResult
from mqguard.runtime import plugins

PAGE = Path(__file__).resolve().parents[3] / "docs" / "plugins.md"
TEXT = PAGE.read_text(encoding="utf-8")

for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
    exec(block, globals())  # the page is ours


def test_the_page_defines_what_it_describes():
    defined = globals()
    assert defined["OfficeHours"]({}).decide
    assert "TestOfficeHours" in defined
    assert defined["FiveSeconds"]({}).accepts(CachedResult("alice", "c", None, 4_999))
    assert not defined["FiveSeconds"]({}).accepts(CachedResult("alice", "c", None, 5_000))


@pytest.mark.parametrize(("option", "group"), sorted(plugins.GROUPS.items()))
def test_the_page_names_every_key_and_group(option, group):
    assert f"`{option}`" in TEXT
    assert f"`{group}`" in TEXT
