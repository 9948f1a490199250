"""Options of the face for gRPC clients.

Names and meanings are Apache RocketMQ's (`ProxyConfig` of release 5.5.0) if Apache has the option.
"""

from mqguard.config import option
from mqguard.config.option import Option

GRPC_PORT = Option(
    "grpcServerPort",
    option.PORT,
    8081,
    "The port of `mqguard standalone` and `mqguard proxy` for gRPC clients; 0 takes any free one. The port of a broker "
    "of mqguard serves them too.",
    "grpc",
)
MIN_POLLING = Option(
    "grpcClientConsumerMinLongPollingTimeoutMillis",
    option.integer(100, 60_000),
    5_000,
    "The minimum time that a receive of a gRPC client waits for messages, in milliseconds.",
    "grpc",
)
MIN_INVISIBLE = Option(
    "minInvisibleTimeMillsForRecv",
    option.integer(1_000, 3_600_000),
    10_000,
    "The minimum invisible time that a simple consumer may choose, in milliseconds.",
    "grpc",
)
DEFAULT_INVISIBLE = Option(
    "defaultInvisibleTimeMills",
    option.integer(10_000, 3_600_000),
    60_000,
    "The time until a message of a push consumer that has died is delivered again, in milliseconds. It is extended for "
    "one that works.",
    "grpc",
)
