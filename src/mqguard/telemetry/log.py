"""Logging: one line for each event, as text or JSON, without values that look like secrets."""

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
"""A value after a name of a secret: `password=x`, `"secretKey": "x"`, `Signature: x`."""

_SIGNATURE = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{27}=(?![A-Za-z0-9+/=])")
"""The Base64 form of an HMAC-SHA1, anywhere in a text."""


def redact(text: str) -> str:
    """Return the text without values that look like secrets or signatures."""
    return _SIGNATURE.sub(HIDDEN, _NAMED.sub(lambda found: f"{found['name']}{found['open']}{HIDDEN}", text))


class TextFormatter(logging.Formatter):
    """The text form: `2026-01-02T03:04:05.678Z WARNING mqguard.net.server what happened`.

    An event is one line, whatever names peers choose. The trace of an error follows on indented lines.
    """

    def __init__(self, process: str = "") -> None:
        named = f"{process} " if process else ""
        super().__init__(f"%(asctime)s.%(msecs)03dZ %(levelname)s {named}%(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, redacted."""
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line without the trace."""
        record.message = visible(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the trace, indented, so that no message of an error looks like an event."""
        return textwrap.indent(super().formatException(ei), "    ", lambda _: True)


class JsonFormatter(logging.Formatter):
    """The JSON form: one object for each event, with time, level, logger, message, and the trace of an error."""

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = {"process": process} if process else {}
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, redacted."""
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        event = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            **self._process,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            event["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(event, ensure_ascii=False)


def configure(level: str = "INFO", *, as_json: bool = False, stream: TextIO | None = None, process: str = "") -> None:
    """Log to a stream, standard error by default; this replaces the previous configuration.

    Args:
        level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        as_json: One JSON object per line instead of text.
        stream: The stream.
        process: Name of this process among several that write to the same stream; empty if it is alone.

    Raises:
        ValueError: The level is unknown.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter(process) if as_json else TextFormatter(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
