"""The requirements of requests: one row for each request code and each RPC."""
