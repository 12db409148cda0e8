"""Blobs in memory."""

import hashlib

from yurt.domain.errors import NotFound


class FakeBlobs:
    """`yurt.ports.Blobs` in a dictionary, `kept`, by sha256; `stored_at` is for a test to set, and else long ago."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.stored_at: dict[str, float] = {}

    async def put(self, data: bytes) -> str:
        """Store `data`; returns its sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.kept[sha256] = data
        return sha256

    async def get(self, sha256: str) -> bytes:
        """The bytes, or `NotFound`."""
        if sha256 not in self.kept:
            raise NotFound(f"There is no blob {sha256}.")
        return self.kept[sha256]

    async def has(self, sha256: str) -> bool:
        """Whether it is there."""
        return sha256 in self.kept

    async def remove(self, sha256: str, *, before: float | None = None) -> None:
        """Delete it, if it is there and old enough."""
        if before is None or self.stored_at.get(sha256, 0.0) < before:
            self.kept.pop(sha256, None)

    async def older(self, before: float, *, after: str, limit: int) -> list[str]:
        """Names of blobs stored before a time."""
        return sorted(name for name in self.kept if name > after and self.stored_at.get(name, 0.0) < before)[:limit]
