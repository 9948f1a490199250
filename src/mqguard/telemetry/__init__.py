"""Logs, metrics and the audit writer's thread."""
