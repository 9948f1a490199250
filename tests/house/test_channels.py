"""State of a connection is kept in its own object: no map of the guard has names of connections as keys."""

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "mqguard"


def _channel_names_used(path: Path) -> list[str]:
    """Return the places that use the name of a channel, which is meant for logs and plugins."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "name"
        and isinstance(node.value, ast.Name | ast.Attribute)
        and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr) == "channel"
    ]


def _maps_by_channel(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Attribute | ast.Name)
        and any(isinstance(part, ast.Attribute) and part.attr == "channel" for part in ast.walk(node.slice))
    ]


def test_the_name_of_a_connection_is_used_only_to_show_it():
    found = [place for path in sorted(SOURCE.rglob("*.py")) for place in _channel_names_used(path)]
    assert [place.partition(":")[0] for place in found] == ["guard/authentication.py"], found


def test_no_map_of_the_guard_is_keyed_by_connections():
    found = [place for path in sorted((SOURCE / "guard").rglob("*.py")) for place in _maps_by_channel(path)]
    assert found == []
