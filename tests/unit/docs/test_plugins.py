"""The examples in `plugins.md` pass the contract tests that the page names, and its tables have the names of the code."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mqguard.config.loader import OPTIONS
from mqguard.testing.plugin_contracts import StrategyContract

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "plugins.md").read_text(encoding="utf-8")


def run_examples() -> dict[str, Any]:
    """Run the Python blocks of the page one after the other, and return what they define."""
    names: dict[str, Any] = {"__name__": __name__}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        exec(block, names)
    return names


EXAMPLES = run_examples()
TestOfficeHours = EXAMPLES["TestOfficeHours"]


class TestFiveSeconds(StrategyContract):
    """The strategy of the page passes its contract tests."""

    @pytest.fixture
    def strategy(self):
        return EXAMPLES["FiveSeconds"]({})


def ports() -> list[list[str]]:
    """Return the cells of the table of ports."""
    rows = [
        line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `auth") or "Sinks`" in line
    ]
    return [cells for cells in rows if len(cells) == 5]


@pytest.mark.parametrize("cells", ports(), ids=lambda cells: cells[0])
def test_the_table_of_ports_names_keys_ports_and_contracts(cells):
    """Every key, every port and every module with contract tests exists."""
    keys, _, port, _, contract = cells
    assert set(re.findall(r"`(\w+)`", keys)) <= {option.name for option in OPTIONS}
    modules = [import_module(name) for name in ("mqguard.guard.plugin_api", "mqguard.auth.ports")]
    assert any(hasattr(module, port.strip("`")) for module in modules)
    import_module(contract.strip("`"))


def test_all_ports_are_in_the_table():
    """The table has seven ports."""
    assert len(ports()) == 7
