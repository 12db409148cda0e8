"""The rows of a store in SQLite are copied as they were at one moment, while a server writes."""

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

from tests.contract.store.conftest import SqliteStores
from tests.contract.store.making import accept, app, complete, pending
from yurt.domain.changes import Remove, Save
from yurt.domain.records import App, Bundle, Revision
from yurt.outbound.store import backup, open_store
from yurt.outbound.store.backup import SqliteRows
from yurt.outbound.store.errors import StoreMissing, StoreRefused
from yurt.usecases.backup import BackupFailed


def deaf(what: str, done: int, total: int | None) -> None:
    """Hear of the progress, and do nothing."""


async def test_what_is_written_meanwhile_is_not_in_the_copy(
    sqlite_stores: SqliteStores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "PAGES", 16)
    store = await sqlite_stores.open()
    await store.journal.write(*(accept(number, args=os.urandom(5000)) for number in range(400)), Save(app("ap-1")))
    target = tmp_path / "copy" / "yurt.db"
    target.parent.mkdir()
    loop = asyncio.get_running_loop()
    heard: list[int] = []

    def write(what: str, done: int, total: int | None) -> None:
        number = 1000 + len(heard)
        heard.append(done)
        change = store.journal.write(accept(number), complete(accept(number % 400)), Remove(App, ("ap-1",)))
        asyncio.run_coroutine_threadsafe(change, loop).result(10)

    names = await asyncio.to_thread(SqliteRows(sqlite_stores.directory / "yurt.db", target, write).take)

    assert list(names) == []
    assert len(heard) > 10
    assert heard == sorted(heard), "it never began anew"
    copy = await open_store(target.parent, clock=sqlite_stores.clock)
    assert len(await pending(copy)) == 400
    assert await copy.records.get(App, "ap-1") == app("ap-1")
    assert (copy.identity.installation, copy.identity.key) == (store.identity.installation, store.identity.key)
    assert copy.identity.epoch > store.identity.epoch
    await copy.close()


async def test_the_copy_is_one_file_for_its_owner_alone_and_says_whose_it_is(
    sqlite_stores: SqliteStores, tmp_path: Path
) -> None:
    store = await sqlite_stores.open()
    place = tmp_path / "copy"
    place.mkdir()
    rows = SqliteRows(sqlite_stores.directory / "yurt.db", place / "yurt.db", deaf)
    for _ in range(2):  # another try replaces the first
        await store.journal.write(Save(app("ap-1")))
        assert list(rows.take()) == []
    assert rows.installation() == store.identity.installation
    (file,) = place.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert rows.size_bytes == file.stat().st_size


async def test_every_column_that_names_a_blob_is_read(sqlite_stores: SqliteStores, tmp_path: Path) -> None:
    store = await sqlite_stores.open()
    call = accept(1, args=None, args_blob="a" * 64)
    await store.journal.write(call, Save(Bundle("main", "b" * 64, 1, 1.0)))
    await store.journal.write(complete(call, value=None, value_blob="c" * 64))
    await store.journal.write(Save(Revision("fu-1", 1, "{}", "d" * 64, 1.0, "tk-1")))
    rows = SqliteRows(sqlite_stores.directory / "yurt.db", tmp_path / "copy.db", deaf)
    assert sorted(rows.take()) == [letter * 64 for letter in "abcd"]


async def test_a_store_whose_server_was_killed_is_copied_with_its_log(
    sqlite_stores: SqliteStores, tmp_path: Path
) -> None:
    store = await sqlite_stores.open()
    await store.journal.write(accept(1))
    for name in ("yurt.db", "yurt.db-wal"):  # what is left of it, without the shared memory
        (tmp_path / name).write_bytes((sqlite_stores.directory / name).read_bytes())
    target = tmp_path / "copy.db"
    SqliteRows(tmp_path / "yurt.db", target, deaf).take()
    with sqlite3.connect(target) as db:
        assert db.execute("SELECT count(*) FROM calls").fetchone() == (1,)
    db.close()


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match=str(tmp_path)):
        SqliteRows(tmp_path / "yurt.db", tmp_path / "copy.db", deaf)
    (tmp_path / "yurt.db").write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreRefused, match="not a SQLite database"):
        SqliteRows(tmp_path / "yurt.db", tmp_path / "copy.db", deaf)


async def test_a_damaged_store_makes_no_copy(sqlite_stores: SqliteStores, tmp_path: Path) -> None:
    store = await sqlite_stores.open()
    await store.journal.write(*(accept(number, args=os.urandom(5000)) for number in range(100)))
    await store.close()
    path = sqlite_stores.directory / "yurt.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 20_000)
    with pytest.raises(BackupFailed, match=r"could not be copied: .*(damaged|malformed)"):
        SqliteRows(path, tmp_path / "copy.db", deaf).take()
