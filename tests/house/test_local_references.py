"""No file names a registry host, a path of one machine or anything of the place where it was written."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The last three are notes that only the authors had.
FOREIGN = re.compile(
    r"files\.pythonhosted\.org|pypi\.org/simple|registry\.npmjs|repo1?\.maven|proxy\.golang|"
    r"/root/|/home/[a-z]|acl2_semantics|protocol_surface|apache_5_5",
)


def test_no_file_names_a_host_or_a_machine() -> None:
    """Lock files, code, tests and documents are free of hosts and machine paths."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    found = []
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if not name or not path.is_file() or path == Path(__file__).resolve() or path.suffix in {".gz", ".jar"}:
            continue
        found += [f"{name}: {m.group()}" for m in FOREIGN.finditer(path.read_text(errors="replace"))]

    assert found == []
