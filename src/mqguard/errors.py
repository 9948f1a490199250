"""The root of every error that mqguard raises on purpose."""


class MqguardError(Exception):
    """Something that mqguard refuses or cannot do, said in one line for a person.

    Messages are lower case, without a full stop, hold the user's input in backticks and never a secret.
    """
