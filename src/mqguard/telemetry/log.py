"""Sets up logging: one line per event, as text or JSON, and nothing in it that looks like a secret."""

import json
import logging
import re
import sys
import textwrap
import time
from typing import Any, TextIO

from mqguard.model.text import visible

HIDDEN = "…"

_NAMED = re.compile(
    r"(?P<name>(?:secret_?key|secret|password|passwd|signature|security_?token|token|authorization|credentials?)"
    r"[\"']?\s*(?:[:=]|\bis\b)\s*)(?P<open>[\"']?)(?P<value>[^\s\"',;&}\])]+)",
    re.IGNORECASE,
)
"""A value behind a name that says what it is: `password=x`, `"secretKey": "x"`, `Signature: x`."""

_SIGNATURE = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{27}=(?![A-Za-z0-9+/=])")
"""The Base64 form of an HMAC-SHA1, wherever it stands."""


def redact(text: str) -> str:
    """The text without values that look like secrets or signatures."""
    return _SIGNATURE.sub(HIDDEN, _NAMED.sub(lambda found: f"{found['name']}{found['open']}{HIDDEN}", text))


class TextFormatter(logging.Formatter):
    """`2026-01-02T03:04:05.678Z WARNING mqguard.net.server what happened`.

    Whatever a peer calls itself, an event is one line; the trace of an error follows it on lines that are set in.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """The line, redacted."""
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line without the trace."""
        record.message = visible(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """The trace, set in, so that no message of an error passes for an event."""
        return textwrap.indent(super().formatException(ei), "    ", lambda _: True)


class JsonFormatter(logging.Formatter):
    """One JSON object per event: time, level, logger, message, and the trace of an error."""

    def __init__(self) -> None:
        super().__init__()
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """The line, redacted."""
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        event = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            event["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(event, ensure_ascii=False)


def configure(level: str = "INFO", *, as_json: bool = False, stream: TextIO | None = None) -> None:
    """Log to a stream, standard error by default; replaces what was set up before.

    Args:
        level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        as_json: One JSON object per line instead of text.
        stream: Where to.

    Raises:
        ValueError: There is no such level.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
