"""What a broker does, as plain synchronous calls over store ports: produce, fetch, offsets, retry, delay."""
