#!/usr/bin/env python3
"""A tiny policy decision point, to try the plugin.

Usage: `python pdp_server.py rules.json --port 8181`

`rules.json` is a list of allowed actions: `[{"user": "alice", "type": "Topic", "name": "orders", "actions": ["Pub"]}]`.
Everything else is denied. The server reads the file again for every request.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def decide(rules: list[dict[str, Any]], query: dict[str, Any]) -> str:
    """Return `allow` if a rule grants one of the actions, else `deny`."""
    resource = query["resource"]
    for rule in rules:
        if (
            (rule["user"], rule["type"]) == (query["user"], resource["type"])
            and rule["name"] in {"*", resource["name"]}
            and set(rule["actions"]) & set(query["actions"])
        ):
            return "allow"
    return "deny"


class Pdp(ThreadingHTTPServer):
    """Server that decides by the rules in a file."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], rules: Path) -> None:
        super().__init__(address, Handler)
        self.rules = rules

    def answer(self, query: dict[str, Any]) -> tuple[int, bytes]:
        """Return the status and the body of the answer."""
        rules = json.loads(self.rules.read_text(encoding="utf-8"))
        return 200, json.dumps({"decision": decide(rules, query)}).encode()


class Handler(BaseHTTPRequestHandler):
    """One connection, which stays open between requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Pdp

    def do_POST(self) -> None:
        """Answer one request."""
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, body = self.server.answer(query)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base
        """Log nothing."""


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rules", type=Path)
    parser.add_argument("--port", type=int, default=8181)
    arguments = parser.parse_args()
    Pdp(("127.0.0.1", arguments.port), arguments.rules).serve_forever()


if __name__ == "__main__":
    main()
