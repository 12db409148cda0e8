"""How callbacks leave the server."""

from yurt.outbound.callbacks.post import HttpPost

__all__ = ["HttpPost"]
