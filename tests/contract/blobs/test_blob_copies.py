"""Copies of blobs, from a directory that a server uses."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from yurt.outbound.blobs import FileBlobs
from yurt.outbound.blobs.copying import BlobCopies


def deaf(what: str, done: int, total: int | None) -> None:
    """Hear of the progress, and do nothing."""


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[FileBlobs]:
    blobs = FileBlobs(tmp_path / "blobs")
    await blobs.open()
    yield blobs
    await blobs.close()


@pytest.fixture
async def copied(tmp_path: Path) -> AsyncIterator[FileBlobs]:
    """What a server on the copy has."""
    (tmp_path / "copy").mkdir()
    copied = FileBlobs(tmp_path / "copy" / "blobs")
    yield copied
    await copied.close()


async def test_what_is_named_is_copied_and_nothing_else(blobs: FileBlobs, copied: FileBlobs, tmp_path: Path) -> None:
    names = [await blobs.put(data) for data in (b"one", b"two" * 1_000_000, b"three")]
    copies = BlobCopies(tmp_path / "blobs", tmp_path / "copy" / "blobs", deaf)

    assert copies.bring(names[:2] + names[:1]) == set()
    assert copies.bring(names[:2]) == set()

    assert (copies.count, copies.size_bytes) == (2, 3 + 3_000_000)
    assert await copied.get(names[1]) == b"two" * 1_000_000
    assert not await copied.has(names[2])
    await blobs.remove(names[0])
    assert await copied.get(names[0]) == b"one"
    files = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


async def test_what_is_not_there_or_not_whole_is_named_and_tried_again(
    blobs: FileBlobs, copied: FileBlobs, tmp_path: Path
) -> None:
    torn, gone = await blobs.put(b"torn"), await blobs.put(b"gone")
    (tmp_path / "blobs" / torn[:2] / torn).write_bytes(b"to")
    await blobs.remove(gone)
    copies = BlobCopies(tmp_path / "blobs", tmp_path / "copy" / "blobs", deaf)

    assert copies.bring([torn, gone]) == {torn, gone}
    assert not await copied.has(torn)

    await blobs.remove(torn)
    for data in (b"torn", b"gone"):
        await blobs.put(data)
    assert copies.bring([torn, gone]) == set()
