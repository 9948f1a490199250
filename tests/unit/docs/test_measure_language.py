"""The tool that measures the language of the code gives the right figures for a small checkout."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

ONE = '''"""What a thing is."""

# Nobody is told.


class Place:
    """Class that stands alone."""
'''
TWO = '''"""Module of two functions."""


class Place:
    """Class of the same name."""


def where() -> str:
    """Where it is."""
    return "the client speaks"
'''


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout with two modules and two commits."""
    package = tmp_path / "src" / "mqguard"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text(ONE)
    (package / "two.py").write_text(TWO)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for subject in ("area: four", "area: five5"):
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", subject], check=True)
    return tmp_path


def test_the_figures_of_a_small_checkout(checkout):
    spec = importlib.util.spec_from_file_location("measure_language", ROOT / "tools" / "measure_language.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    assert dict(tool.figures(checkout)) == {
        "docstrings that open with What, Who, Where or Whether": "40.0 % of 5",
        "`told` in 1,000 words of prose": "38.46 (1 of 26)",
        "`speak` in 1,000 words of prose": "38.46 (1 of 26)",
        "`stand` in 1,000 words of prose": "38.46 (1 of 26)",
        "`nobody` in 1,000 words of prose": "38.46 (1 of 26)",
        "class names that mean two things": "1",
        "median length of a commit's subject, all commits": "10.5",
        "median length of a commit's subject, last 100": "10.5",
        "files under 60 lines, without __init__.py": "2 of 2",
        "files in 1,000 lines, without __init__.py": f"{2000 / (ONE + TWO).count(chr(10)):.1f}",
        "files in 1,000 lines, all": f"{3000 / (ONE + TWO).count(chr(10)):.1f}",
    }
