"""Sockets and TLS: the asynchronous server shell and the blocking client."""
