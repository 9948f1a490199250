"""Typed ext fields, one module for each family of requests; `codec` decodes and encodes them."""
