"""The HTTP listener of a process: metrics and health."""
