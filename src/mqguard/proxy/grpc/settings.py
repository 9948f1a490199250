"""Limits of gRPC clients, with Apache's defaults (`ProxyConfig`)."""

import msgspec


class ProxySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the face for gRPC clients.

    Attributes:
        max_body: Maximum bytes of the body of a message.
        max_user_properties: Maximum number of user properties of a message.
        max_properties_bytes: Maximum bytes of the user properties of a message.
        max_message_group: Maximum bytes of a message group.
        max_delay_ms: Maximum time until a delayed message is due.
        max_recovery_s: Maximum seconds until a transaction without result is checked.
        min_invisible_ms: Minimum invisible time that a simple consumer may choose.
        max_invisible_ms: Maximum invisible time.
        default_invisible_ms: Invisible time of messages that the server renews.
        min_polling_ms: Minimum time that a receive waits for messages.
        max_polling_ms: Maximum time that a receive waits for messages.
        receive_batch: Messages that a push consumer receives at once.
        max_clients: Maximum number of clients.
        max_clients_of_one: Maximum number of clients of one user.
        max_settings: Maximum bytes of the settings of all clients.
        max_settings_of_one: Maximum bytes of the settings of all clients of one user.
        max_renewals: Maximum number of messages that are extended.
        max_renewals_of_one: Maximum number of these messages of one user.
        client_timeout_ms: Time after which a client without a stream and a heartbeat is forgotten.
    """

    max_body: int = 4 * 1024 * 1024
    max_user_properties: int = 128
    max_properties_bytes: int = 16 * 1024
    max_message_group: int = 64
    max_delay_ms: int = 24 * 3600 * 1000
    max_recovery_s: int = 3600
    min_invisible_ms: int = 10_000
    max_invisible_ms: int = 12 * 3600 * 1000
    default_invisible_ms: int = 60_000
    min_polling_ms: int = 5_000
    max_polling_ms: int = 20_000
    receive_batch: int = 32
    max_clients: int = 20_000
    max_clients_of_one: int = 5_000
    max_settings: int = 256 * 1024 * 1024
    max_settings_of_one: int = 32 * 1024 * 1024
    max_renewals: int = 200_000
    max_renewals_of_one: int = 50_000
    client_timeout_ms: int = 60_000
