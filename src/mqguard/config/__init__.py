"""Typed settings: option registry, reader of `broker.conf`, secrets."""
