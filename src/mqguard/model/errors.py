"""Errors in messages, topics and groups as values."""

from mqguard.errors import MqguardError


class RecordInvalid(MqguardError):
    """Bytes that are not a message record, or a record that cannot be written. Its message names the byte or field."""


class AttributesInvalid(MqguardError):
    """An attribute change of a topic or group that cannot be applied.

    Its message names the attribute and the valid form.
    """
