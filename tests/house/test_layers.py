"""The import contracts hold, and each of them finds the violation that it forbids."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

SEEDED = [
    ("model/seeded.py", "import socket\n", "no I/O"),
    ("auth/seeded.py", "def late():\n    import time\n    return time\n", "no I/O"),
    ("remoting/seeded.py", "import mqguard.auth.policy\n", "layered"),
    ("auth/seeded.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mqguard.guard\n", "layered"),
    ("engine/seeded.py", "import mqguard.guard\n", "layered"),
    ("engine/seeded.py", "import mqguard.remoting.link\n", "engine holds no frames"),
    ("guard/seeded.py", "import mqguard.net\nimport asyncio\n", "use no socket"),
    ("broker/seeded.py", "import mqguard.namesrv\n", "layered"),
    ("broker/seeded.py", "import rocksdict\n", "Only the store uses RocksDB"),
    ("newcomer/__init__.py", '"""A package without a place."""\n', "layered"),
    ("config/seeded.py", "import mqguard.testing\n", "test helpers"),
]


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a copy of the tree, not on the installed package."""
    return subprocess.run(
        [str(LINT), "--no-cache", "--config", str(tree / "pyproject.toml")],
        cwd=tree / "src",
        env={"PYTHONPATH": str(tree / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(name="tree")
def copy_of_the_source(tmp_path: Path) -> Path:
    """Copy the source tree, so that a test can plant violations in it."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold(tree: Path) -> None:
    """The source as it is breaks no contract."""
    result = lint(tree)

    assert result.returncode == 0, result.stdout


def test_every_seeded_violation_is_caught(tree: Path) -> None:
    """Each planted import is reported by the contract that is meant to forbid it."""
    for place, code, contract in SEEDED:
        planted = tree / "src" / "mqguard" / place
        fresh = not planted.parent.exists()
        planted.parent.mkdir(exist_ok=True)
        planted.write_text(code)

        result = lint(tree)

        planted.unlink()
        if fresh:
            shutil.rmtree(planted.parent)
        broken = [line for line in result.stdout.splitlines() if line.endswith("BROKEN")]
        assert any(contract in line for line in broken), (place, code, result.stdout)
