"""Typed ext fields, one module per family of requests; `codec` reads and writes them."""
