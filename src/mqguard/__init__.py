"""mqguard: access control for RocketMQ."""

__version__ = "0.1.0"
