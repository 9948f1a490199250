"""Typed JSON bodies, one module per family of requests; `codec` decodes and encodes them."""
