"""Bytes by content, as files."""

from yurt.outbound.blobs.files import FileBlobs

__all__ = ["FileBlobs"]
