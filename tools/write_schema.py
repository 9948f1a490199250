"""Write the JSON Schema of policy documents into `docs/policy.schema.json`."""

import json
from pathlib import Path

from mqguard.auth.documents.schema import schema

PATH = Path(__file__).resolve().parents[1] / "docs" / "policy.schema.json"


def main() -> None:
    """Write the file."""
    PATH.write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
