"""Shipped help for the authors of plugins and for our own tests."""
