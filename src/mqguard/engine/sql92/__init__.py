"""SQL92 expressions that select messages by their properties.

The language is that of Apache RocketMQ's filter module, with its three-valued logic and its conversions of texts. The
differences are in `docs/messaging.md`. An expression is parsed once and becomes a function; its text is never executed.
"""
