"""The parts of `docs/` that are generated from code are up to date and complete."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from mqguard.cli.main import COMMANDS
from mqguard.config.loader import OPTIONS
from mqguard.guard.requirements.evaluation import TABLE

ROOT = Path(__file__).resolve().parents[3]


def load_tool():
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "tools" / "write_docs.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


TOOL = load_tool()


def test_every_page_is_up_to_date():
    """Run `.venv/bin/python tools/write_docs.py` if a page is not.

    The tool needs a process of its own. If another test has run a command without its group, click keeps that command's
    help option.
    """
    done = subprocess.run(
        [sys.executable, "tools/write_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_every_option_command_and_code_is_documented():
    config, cli, requirements = TOOL.config_page(), TOOL.cli_page(), TOOL.requirements_page()
    assert all(f"| `{option.name}`" in config for option in OPTIONS)
    assert all(f"\n## mqguard {command.name}\n" in cli for command in COMMANDS)
    assert all(f"\n| {code} | " in requirements for code in TABLE)


def test_the_picture_has_every_package_and_every_import():
    """Each package is once in the picture, and imports only packages below its layer."""
    layers = TOOL.layers_of_packages()
    packages = [package for layer in layers for package in layer]
    imports = {name: found for name, found in TOOL.imports_of_packages().items() if name != "testing"}

    assert sorted(package for package in packages if "(" not in package) == sorted(imports)
    for number, layer in enumerate(layers):
        lower = {package for row in layers[number + 1 :] for package in row}
        assert all(imports.get(package, set()) <= lower for package in layer)
