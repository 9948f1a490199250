"""Typed client-side operations over the wire: users, policies, topics, groups, messages."""
