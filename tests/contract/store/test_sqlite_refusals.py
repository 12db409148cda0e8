"""A data directory that cannot be used is refused with its reason, and left as it was."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clocks import FreeClock
from tests.contract.store.conftest import SqliteStores
from tests.contract.store.making import accept, pending
from yurt.outbound.store import StoreRefused, open_store


def everything(directory: Path) -> dict[str, bytes | None]:
    """Every file under a directory, with its bytes."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
        if path.name != "lock"  # says only who held it last
    }


@pytest.fixture
async def made(sqlite_stores: SqliteStores) -> Path:
    """The data directory of a store that was used and closed."""
    store = await sqlite_stores.open()
    await store.journal.write(accept(1))
    await store.close()
    return sqlite_stores.directory


async def refused(directory: Path, match: str) -> None:
    before = everything(directory)
    with pytest.raises(StoreRefused, match=match) as caught:
        await open_store(directory, clock=FreeClock())
    assert str(directory) in caught.value.message
    assert everything(directory) == before


def set_header(directory: Path, offset: int, number: int) -> None:
    with (directory / "yurt.db").open("r+b") as file:
        file.seek(offset)
        file.write(number.to_bytes(4, "big"))


async def test_a_newer_release(made: Path) -> None:
    set_header(made, 60, 9999)
    await refused(made, "newer release")


async def test_a_newer_release_that_was_killed_before_its_header_was_written(made: Path) -> None:
    """The file's own header says that all is well; only its log knows better."""
    copy = made.with_name("copy")
    copy.mkdir()
    db = sqlite3.connect(made / "yurt.db", isolation_level=None)
    db.execute("PRAGMA user_version = 9999")
    for file in made.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    db.close()
    before = (copy / "yurt.db").read_bytes()
    with pytest.raises(StoreRefused, match="newer release"):
        await open_store(copy, clock=FreeClock())
    assert int.from_bytes((copy / "yurt.db").read_bytes()[60:64], "big") in {1, 9999}
    assert len((copy / "yurt.db").read_bytes()) == len(before)


@pytest.mark.parametrize("garbage", [b"garbage" * 5000, b"short", b"SQLite format 3\0"], ids=["noise", "short", "cut"])
async def test_garbage(made: Path, garbage: bytes) -> None:
    (made / "yurt.db").write_bytes(garbage)
    await refused(made, "damaged")


async def test_a_file_that_was_cut(made: Path) -> None:
    with (made / "yurt.db").open("r+b") as file:
        file.truncate(8192)
    await refused(made, "damaged: it has 8192 of its")


async def test_a_header_over_noise(made: Path) -> None:
    whole = (made / "yurt.db").read_bytes()
    (made / "yurt.db").write_bytes(whole[:100] + os.urandom(len(whole) - 100))
    await refused(made, "damaged")


async def test_a_store_without_its_identity(made: Path) -> None:
    db = sqlite3.connect(made / "yurt.db")
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("DELETE FROM meta")
    db.commit()
    db.close()
    with pytest.raises(StoreRefused, match="damaged"):
        await open_store(made, clock=FreeClock())


async def test_the_database_of_another_program(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "yurt.db")
    db.execute("CREATE TABLE theirs (x)")
    db.commit()
    db.close()
    await refused(tmp_path, "not a store of Yurt")


async def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(StoreRefused, match="data"):
        await open_store(tmp_path / "data", clock=FreeClock())
    assert (tmp_path / "data").read_text() == "mine"


async def test_the_holder_of_the_lock_is_named(sqlite_stores: SqliteStores) -> None:
    await sqlite_stores.open()
    with pytest.raises(StoreRefused, match=f"process {os.getpid()}"):
        await open_store(sqlite_stores.directory, clock=FreeClock())


AS_NOBODY = """
import asyncio, os, sys
from pathlib import Path
from yurt.outbound.store import StoreRefused, open_store
from tests.clocks import FreeClock
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    asyncio.run(open_store(Path(sys.argv[1]), clock=FreeClock()))
except StoreRefused as error:
    print(error.message)
"""


def opened_without_rights(directory: Path) -> str:
    """What a server hears that may read `directory` and not write to it: file rights do not bind root."""
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(directory)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


@pytest.fixture
def readable(made: Path) -> Iterator[Path]:
    """A copy of the store, where everybody may read and nobody but root may write."""
    with tempfile.TemporaryDirectory(prefix="yurt-readable-") as place:
        copy = Path(place) / "data"
        shutil.copytree(made, copy)
        for path in copy.iterdir():
            path.chmod(0o444)
        copy.chmod(0o555)
        Path(place).chmod(0o755)
        yield copy
        copy.chmod(0o755)


async def test_a_directory_that_cannot_be_written(readable: Path) -> None:
    before = everything(readable)
    assert "cannot be written" in opened_without_rights(readable)
    assert everything(readable) == before


async def test_a_file_that_cannot_be_written(readable: Path) -> None:
    before = everything(readable)
    readable.chmod(0o777)
    (readable / "lock").chmod(0o666)
    heard = opened_without_rights(readable)
    assert "yurt.db cannot be written" in heard
    assert everything(readable) == before


async def test_files_are_for_the_server_alone(sqlite_stores: SqliteStores) -> None:
    sqlite_stores.directory.mkdir(mode=0o755)
    store = await sqlite_stores.open()
    await store.journal.write(accept(1))
    assert sqlite_stores.directory.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in sqlite_stores.directory.iterdir()}
    assert modes == dict.fromkeys(["yurt.db", "yurt.db-wal", "yurt.db-shm", "lock"], 0o600)


async def test_a_first_start_that_was_killed_half_way(sqlite_stores: SqliteStores) -> None:
    sqlite_stores.directory.mkdir()
    (sqlite_stores.directory / "yurt.db.new").write_bytes(b"half")
    store = await sqlite_stores.open()
    await store.journal.write(accept(1))
    assert not (sqlite_stores.directory / "yurt.db.new").exists()


async def test_a_path_with_every_kind_of_character(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "100% ?mode=ro#'é", clock=FreeClock())
    await store.journal.write(accept(1))
    assert len(await pending(store)) == 1
    await store.close()
