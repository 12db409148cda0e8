"""What every store of blobs does, and what is particular to files."""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from yurt.domain.errors import NotFound, Unavailable
from yurt.outbound.blobs import FileBlobs

ABSENT = "0" * 64


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
async def blobs(directory: Path) -> AsyncIterator[FileBlobs]:
    opened = FileBlobs(directory)
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(300_000)])
async def test_what_is_put_can_be_got_by_its_hash(blobs: FileBlobs, data: bytes) -> None:
    name = await blobs.put(data)
    assert name == hashlib.sha256(data).hexdigest()
    assert await blobs.has(name)
    assert await blobs.get(name) == data


async def test_the_same_content_is_stored_once_also_at_the_same_time(blobs: FileBlobs, directory: Path) -> None:
    names = await asyncio.gather(*(blobs.put(b"the same") for _ in range(20)))
    assert len(set(names)) == 1
    assert [path.name for path in directory.rglob("*") if path.is_file()] == [names[0]]


async def test_different_content_at_the_same_time(blobs: FileBlobs) -> None:
    contents = [bytes([number]) * 1000 for number in range(50)]
    names = await asyncio.gather(*map(blobs.put, contents))
    assert [await blobs.get(name) for name in names] == contents


async def test_what_is_not_there(blobs: FileBlobs) -> None:
    assert not await blobs.has(ABSENT)
    with pytest.raises(NotFound, match=ABSENT):
        await blobs.get(ABSENT)
    await blobs.remove(ABSENT)


async def test_what_is_removed_is_gone_and_can_be_put_again(blobs: FileBlobs) -> None:
    name = await blobs.put(b"for a while")
    await blobs.remove(name)
    assert not await blobs.has(name)
    assert await blobs.put(b"for a while") == name
    assert await blobs.has(name)


@pytest.mark.parametrize("name", ["", "../admin-token", ABSENT.upper() + "A", "0" * 63 + "\n", "unfinished"])
async def test_what_is_no_hash_leads_nowhere(blobs: FileBlobs, directory: Path, name: str) -> None:
    (directory.parent / "admin-token").write_text("secret")
    assert not await blobs.has(name)
    with pytest.raises(NotFound):
        await blobs.get(name)
    await blobs.remove(name)
    assert (directory.parent / "admin-token").exists()


async def test_blobs_outlive_the_server(blobs: FileBlobs, directory: Path) -> None:
    name = await blobs.put(b"kept")
    await blobs.close()
    again = FileBlobs(directory)
    await again.open()
    assert await again.get(name) == b"kept"
    await again.close()


async def test_what_a_crash_left_half_written_is_ignored_and_removed(blobs: FileBlobs, directory: Path) -> None:
    (directory / "unfinished" / "4711").write_bytes(b"hal")
    again = FileBlobs(directory)
    await again.open()
    await again.close()
    assert [path for path in directory.rglob("*") if path.is_file()] == []


async def test_nobody_else_can_read_them(blobs: FileBlobs, directory: Path) -> None:
    name = await blobs.put(b"private")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / name[:2] / name).stat().st_mode) == 0o600


async def test_a_disk_that_takes_no_more_is_a_reason_and_leaves_nothing(
    blobs: FileBlobs, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Unavailable, match="No space left on device"):
            await blobs.put(b"too much")
    assert [path for path in directory.rglob("*") if path.is_file()] == []
    assert await blobs.get(await blobs.put(b"too much")) == b"too much"


async def test_old_ones_come_in_order_and_young_ones_do_not(blobs: FileBlobs, directory: Path) -> None:
    names = sorted([await blobs.put(bytes([number])) for number in range(20)])
    young = await blobs.put(b"young")
    for name in names:
        os.utime(directory / name[:2] / name, (1000, 1000))
    found: list[str] = []
    while page := await blobs.older(1001, after=found[-1] if found else "", limit=3):
        assert len(page) <= 3
        found += page
    assert found == names
    assert young not in found


async def test_content_that_is_stored_again_is_young_again(blobs: FileBlobs, directory: Path) -> None:
    name = await blobs.put(b"again")
    path = directory / name[:2] / name
    os.utime(path, (1000, 1000))
    await blobs.put(b"again")
    await blobs.remove(name, before=2000)
    assert await blobs.has(name)
    os.utime(path, (1000, 1000))
    await blobs.remove(name, before=2000)
    assert not await blobs.has(name)
    await blobs.remove(name, before=2000)
