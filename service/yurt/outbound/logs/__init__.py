"""What containers print, as bounded segment files."""

from yurt.outbound.logs.files import FileLogs
from yurt.outbound.logs.limits import LogLimits

__all__ = ["FileLogs", "LogLimits"]
