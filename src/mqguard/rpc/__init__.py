"""The data side of the gRPC protocol, without a server."""
