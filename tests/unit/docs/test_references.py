"""Pages name files, tests and other pages that exist."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
PAGES = [name for name in LISTED.split() if (ROOT / name).is_file()]
PLACES = (ROOT, ROOT / "src" / "mqguard", ROOT / "tests", ROOT / "bench", ROOT / "src")
# Directories at the root and packages: a path in backticks that begins with one of them is a file of this repository.
TOPS = {path.name for place in PLACES[:3] for path in place.iterdir() if path.is_dir()}


def prose(page: str) -> str:
    """Return the text of a page without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_headings(page):
    """Every relative link of a page has a target, and every anchor a heading."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        file = (ROOT / page).parent / path if path else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_paths_in_backticks_exist(page):
    """Every path of this repository that a page names is there."""
    named = re.findall(r"`([\w.\-]+(?:/[\w.\-]+)+/?)(?:::\w+)?`", prose(page))
    places = (*PLACES, (ROOT / page).parent)
    ours = [path for path in named if path.split("/")[0] in TOPS]
    missing = {path for path in ours if not any((place / path).exists() for place in places)}
    assert missing == set()
