"""What can be wrong with messages, topics and groups as values."""

from mqguard.errors import MqguardError


class RecordInvalid(MqguardError):
    """Bytes that are no message record, or a record that can not be written; says at which byte or field."""


class AttributesInvalid(MqguardError):
    """An attribute change of a topic or group that can not be applied; says which attribute and what would be right."""
