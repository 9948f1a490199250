"""The pictures of the pages are up to date, readable, and have a text alternative on their page."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parents[3]
PIXELS_PER_CHARACTER = 9.0
"""Width of an average character of a wide bold font at 14 pixels."""


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_pictures", ROOT / "tools" / "draw_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    tool = sys.modules["draw_pictures"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


TOOL = load_tool()


def test_there_is_no_other_picture() -> None:
    assert {path.name for path in TOOL.DIRECTORY.iterdir()} == {f"{name}.svg" for name in TOOL.PICTURES}


@pytest.mark.parametrize("name", TOOL.PICTURES)
def test_the_picture_is_up_to_date(name: str) -> None:
    """If not: run `.venv/bin/python tools/draw_pictures.py`."""
    drawn = TOOL.draw(TOOL.PICTURES[name])
    assert (TOOL.DIRECTORY / f"{name}.svg").read_text(encoding="utf-8") == drawn
    assert ET.fromstring(drawn).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in drawn


@pytest.mark.parametrize("name", TOOL.PICTURES)
def test_texts_fit_into_their_boxes(name: str) -> None:
    picture = TOOL.PICTURES[name]
    areas = TOOL.areas(picture)
    longest = [(line, box) for box in picture.boxes for line in box.lines]
    assert [line for line, box in longest if len(line) * PIXELS_PER_CHARACTER > areas[box.column, box.row].width] == []


@pytest.mark.parametrize("name", TOOL.PICTURES)
def test_boxes_do_not_overlap(name: str) -> None:
    cells = [(box.column + more, box.row) for box in TOOL.PICTURES[name].boxes for more in range(box.span)]
    assert len(cells) == len(set(cells))


@pytest.mark.parametrize("name", TOOL.PICTURES)
def test_a_page_has_the_picture_with_its_text(name: str) -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    found = re.search(rf"!\[([^\]]+)\]\(pictures/{name}\.svg\)", pages)
    assert found is not None
    assert found[1] == TOOL.PICTURES[name].text
