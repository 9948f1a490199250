"""Disk: messages, offsets, topics and groups, users and policies. The only package that uses RocksDB."""
