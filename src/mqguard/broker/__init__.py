"""The broker, as clients and administrators reach it: one processor file for each family of request codes."""
