"""gRPC without I/O: HTTP/2 frames, compressed header fields, and the calls on one connection."""
