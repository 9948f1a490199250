"""Options of the face for gRPC clients.

Names and meanings are Apache RocketMQ's (`ProxyConfig` of release 5.5.0) if Apache has the option.
"""

from mqguard.config import option
from mqguard.config.option import Option

GRPC_PORT = Option(
    "grpcServerPort",
    option.PORT,
    8081,
    "The port of `mqguard standalone` for gRPC clients; 0 takes any free one. The broker's port serves them too.",
    "grpc",
)
