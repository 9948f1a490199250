"""The face for clients of the remoting protocol: each request is decided, and passed on to a server of the cluster."""
