"""Containers as subprocess trees of this machine."""

from yurt.outbound.engines.local.engine import LocalEngine
from yurt.outbound.engines.local.environments import EnvironmentSettings
from yurt.outbound.engines.local.launch import InterpreterUnusable
from yurt.outbound.engines.local.places import RunDirRefused, session_socket
from yurt.outbound.engines.local.settings import LocalSettings

__all__ = [
    "EnvironmentSettings",
    "InterpreterUnusable",
    "LocalEngine",
    "LocalSettings",
    "RunDirRefused",
    "session_socket",
]
