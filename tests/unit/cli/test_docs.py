"""Pages under `docs/` that are made from code are fresh, and complete."""

import importlib.util
from pathlib import Path

import pytest

from mqguard.cli.main import COMMANDS
from mqguard.config.loader import OPTIONS

ROOT = Path(__file__).resolve().parents[3]


def load_tool():
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "tools" / "write_docs.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


TOOL = load_tool()


@pytest.mark.parametrize("page", TOOL.PAGES)
def test_the_page_is_fresh(page):
    """If not: run `.venv/bin/python tools/write_docs.py`."""
    assert (ROOT / page).read_text(encoding="utf-8") == TOOL.PAGES[page]()


def test_every_option_and_command_is_documented():
    config, cli = TOOL.config_page(), TOOL.cli_page()
    assert all(f"| `{option.name}`" in config for option in OPTIONS)
    assert all(f"\n## mqguard {command.name}\n" in cli for command in COMMANDS)
