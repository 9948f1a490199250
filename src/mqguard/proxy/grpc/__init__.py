"""The face for gRPC clients: calls in, and requests to the brokers that store the messages.

It knows the brokers by a port only (`ports.Backend`). `embedded.py` implements it by the broker of the same process.
"""
