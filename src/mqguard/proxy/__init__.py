"""The faces of the guard for clients of a cluster: gRPC, and the remoting protocol passed on to brokers."""
