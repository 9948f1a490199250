"""Typed settings: option registry, broker.conf reader, secrets."""
