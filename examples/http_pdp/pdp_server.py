#!/usr/bin/env python3
"""A tiny policy decision point, to try the plugin with.

    python pdp_server.py rules.json --port 8181

`rules.json` is a list of what is allowed: `[{"user": "alice", "type": "Topic", "name": "orders", "actions": ["Pub"]}]`.
Everything else is denied. The file is read anew with every question.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def decide(rules: list[dict[str, Any]], question: dict[str, Any]) -> str:
    """`allow` if a rule grants one of the actions, else `deny`."""
    resource = question["resource"]
    for rule in rules:
        if (
            (rule["user"], rule["type"]) == (question["user"], resource["type"])
            and rule["name"] in {"*", resource["name"]}
            and set(rule["actions"]) & set(question["actions"])
        ):
            return "allow"
    return "deny"


class Pdp(ThreadingHTTPServer):
    """Answers questions by the rules in a file."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], rules: Path) -> None:
        super().__init__(address, Handler)
        self.rules = rules

    def answer(self, question: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body."""
        rules = json.loads(self.rules.read_text(encoding="utf-8"))
        return 200, json.dumps({"decision": decide(rules, question)}).encode()


class Handler(BaseHTTPRequestHandler):
    """One connection, which is kept open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Pdp

    def do_POST(self) -> None:
        """Answer one question."""
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, body = self.server.answer(question)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base
        """Say nothing."""


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rules", type=Path)
    parser.add_argument("--port", type=int, default=8181)
    arguments = parser.parse_args()
    Pdp(("127.0.0.1", arguments.port), arguments.rules).serve_forever()


if __name__ == "__main__":
    main()
