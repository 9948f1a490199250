"""What every request needs: one row for each request code and each RPC."""
