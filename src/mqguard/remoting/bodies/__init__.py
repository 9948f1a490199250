"""Typed JSON bodies, one module for each family of requests; `codec` decodes and encodes them."""
