"""Messages of the service `apache.rocketmq.v2.MessagingService`.

`messages.proto` defines them; `tools/write_protocol.py` makes `messages_pb2` from it, and a test sees that it is fresh.
"""
