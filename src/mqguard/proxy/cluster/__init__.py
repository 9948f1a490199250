"""The RocketMQ cluster behind the guard: its brokers, the routes of its topics, and the guard's own requests to it."""
