"""The server: every part put together, from the first setting to the last commit."""

from yurt.app.life import serve

__all__ = ["serve"]
