"""A store in SQLite is moved into PostgreSQL: all of it or nothing, and once."""

import itertools
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.clocks import FreeClock
from tests.contract.store.conftest import PostgresStores, SqliteStores
from tests.contract.store.making import accept, any_record, app, complete, pending
from tests.contract.store.test_store_records import key_of
from tests.postgres import PostgresServer
from yurt.domain.changes import AcceptCall, AcceptInputs, MapInput, Record, Save
from yurt.domain.records import App, Callback, Environment, Function, Placed, Progress, Timer
from yurt.outbound.store import StoreRefused, open_chosen, open_store
from yurt.outbound.store.errors import StoreMissing
from yurt.outbound.store.moving import Moved, move
from yurt.outbound.store.postgres import filling
from yurt.outbound.store.postgres.store import open_postgres
from yurt.outbound.store.tables import METADATA
from yurt.ports import Tell


def deaf(what: str, done: int, total: int | None) -> None:
    """Hear of the progress, and do nothing."""


class Mover:
    """Moves what `sqlite_stores` has into the database of `postgres_stores`."""

    def __init__(self, sqlite: SqliteStores, postgres: PostgresStores) -> None:
        self.sqlite = sqlite
        self.directory = sqlite.directory
        self.url = postgres.server.url(postgres.database)
        self._postgres = postgres

    def psql(self, sql: str) -> str:
        return self._postgres.server.psql(self._postgres.database, sql)

    async def move(self, tell: Tell = deaf) -> Moved:
        return await move(self.directory, self.url, clock=self.sqlite.clock, tell=tell)

    def empty(self) -> bool:
        return self.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"

    async def opens_in_sqlite(self) -> bool:
        try:
            async with open_chosen(self.directory, None, clock=self.sqlite.clock):
                return True
        except StoreRefused as error:
            return "belongs to a store in PostgreSQL" not in error.message

    async def opens_in_postgres(self) -> bool:
        async with open_chosen(self.directory, self.url, clock=self.sqlite.clock):
            return True


@pytest.fixture
def mover(sqlite_stores: SqliteStores, postgres_stores: PostgresStores) -> Mover:
    return Mover(sqlite_stores, postgres_stores)


async def test_everything_is_there_and_goes_on(
    mover: Mover, sqlite_stores: SqliteStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "BATCH_ROWS", 7)
    before = await sqlite_stores.open()
    calls = [accept(number, priority=number % 3, args=os.urandom(30)) for number in range(50)]
    await before.journal.write(*calls, Save(app("ap-1")), Save(Callback(calls[9].seq, "main", "https://a/", "a")))
    await before.journal.write(*map(complete, calls[:20]), Save(Progress(calls[30].seq, 2, 1, 0, 7)))
    await before.journal.write(Save(Timer(calls[40].seq, "eligible", 5.0)))
    mapped = AcceptCall(*accept(60, kind="map"))
    await before.journal.write(mapped, AcceptInputs((MapInput(calls[0].seq + 61, mapped.seq, b"[1]", None),)))
    waiting = await pending(before)
    found = [await before.calls.get(call.seq) for call in calls]
    await before.close()
    heard: list[tuple[str, int, int | None]] = []

    moved = await mover.move(lambda *word: heard.append(word))

    assert moved.rows["calls"] == 51
    assert moved.rows["inputs"] == 1
    assert (moved.installation, set(moved.rows)) == (before.identity.installation, set(METADATA.tables))
    assert [word for word in heard if word[0] == "calls"] == [
        ("calls", done, 51) for done in (0, 7, 14, 21, 28, 35, 42, 49, 51)
    ]
    after = await open_postgres(mover.url, clock=sqlite_stores.clock, installation=before.identity.installation)
    assert (after.identity.installation, after.identity.key) == (before.identity.installation, before.identity.key)
    assert after.identity.epoch > before.identity.epoch
    assert await pending(after) == waiting
    assert [await after.calls.get(call.seq) for call in calls] == found
    assert await after.records.get(App, "ap-1") == app("ap-1")
    await after.journal.write(complete(calls[30]))
    assert await after.records.get(Progress, calls[30].seq) is None, "what ends is still known to have more to do"
    await after.close()


async def test_the_file_is_no_store_any_more_and_the_directory_goes_with_the_database(mover: Mover) -> None:
    store = await mover.sqlite.open()
    await store.close()

    await mover.move()

    assert not await mover.opens_in_sqlite()
    assert await mover.opens_in_postgres()
    assert {path.name for path in mover.directory.iterdir()} == {"yurt.db.moved", "installation", "lock"}
    with pytest.raises(StoreRefused, match="is in PostgreSQL already"):
        await mover.move()


def with_a_name_of_its_own(record: Record, number: int) -> Record:
    if isinstance(record, App | Function | Environment):
        return replace(record, name=f"n{number}")
    return record


@example(records=[], words="a\0b")
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.one_of(*(any_record(kind) for kind in get_args(Record) if kind is not Placed)), max_size=30),
    st.text(st.characters(codec="utf-8"), max_size=5),
)
async def test_any_record_arrives(postgres: PostgresServer, records: list[Record], words: str) -> None:
    named = {(type(record), key_of(record)): record for record in records}
    unique = list(map(with_a_name_of_its_own, named.values(), itertools.count()))
    database, clock = postgres.database(), FreeClock()
    with tempfile.TemporaryDirectory() as place:
        store = await open_store(Path(place), clock=clock)
        await store.journal.write(*map(Save, unique), accept(1, metadata_json=words))
        await store.close()
        moved = await move(Path(place), postgres.url(database), clock=clock, tell=deaf)
    copied = await open_postgres(postgres.url(database), clock=clock)
    for record in unique:
        assert await copied.records.get(type(record), *key_of(record)) == record
    call = await copied.calls.get(accept(1).seq)
    assert call is not None
    assert call.call.metadata_json == words.replace("\0", "\N{SYMBOL FOR NULL}")
    assert sum(moved.rows.values()) == len(unique) + 4  # the call, its pending row, the identity and the mark
    await copied.close()
    postgres.psql("postgres", f"DROP DATABASE {database} WITH (FORCE)")


@given(st.lists(st.tuples(st.integers(), st.none() | st.binary(max_size=50), st.text(max_size=3))), st.integers(1, 60))
def test_portions_hold_every_row_and_little_at_once(rows: list[tuple[Any, ...]], bound: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "BATCH_ROWS", 4)
        patch.setattr(filling, "BATCH_BYTES", bound)
        batches = list(filling.batches(iter(rows)))
    flat = [row for batch in batches for row in batch]
    assert [row[:2] for row in flat] == [row[:2] for row in rows]
    for batch in batches:
        assert 1 <= len(batch) <= 4
        assert sum(len(row[1] or b"") + len(row[2]) for row in batch[:-1]) < bound


async def test_a_running_server_is_not_moved(mover: Mover) -> None:
    await mover.sqlite.open()
    with pytest.raises(StoreRefused, match="Stop it, then run this again"):
        await mover.move()
    assert mover.empty()
    assert not (mover.directory / "installation").exists()


async def test_a_database_that_has_anything_is_not_touched(mover: Mover, postgres_stores: PostgresStores) -> None:
    store = await mover.sqlite.open()
    await store.close()
    other = await postgres_stores.open()
    with pytest.raises(StoreRefused, match="in use by another server"):
        await mover.move()
    await other.close()
    with pytest.raises(StoreRefused, match=r"is not empty.*createdb"):
        await mover.move()
    assert mover.psql("SELECT installation FROM meta") == other.identity.installation
    mover.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE theirs (x int)")
    with pytest.raises(StoreRefused, match="tables of another program"):
        await mover.move()
    assert await mover.opens_in_sqlite()


async def test_the_copy_of_this_store_is_not_taken_twice_unless_the_directory_says_so(mover: Mover) -> None:
    store = await mover.sqlite.open()
    await store.close()
    await mover.move()
    (mover.directory / "yurt.db.moved").rename(mover.directory / "yurt.db")
    (mover.directory / "installation").unlink()
    with pytest.raises(StoreRefused, match="is not empty"):
        await mover.move()
    assert await mover.opens_in_sqlite()


async def test_a_directory_without_a_store(mover: Mover) -> None:
    mover.directory.mkdir()
    with pytest.raises(StoreMissing, match="There is no store in"):
        await mover.move()
    assert list(mover.directory.iterdir()) == []
    assert mover.empty()


async def test_a_store_in_the_directory_of_another(mover: Mover) -> None:
    store = await mover.sqlite.open()
    await store.close()
    (mover.directory / "installation").write_text("somebody\n")
    with pytest.raises(StoreRefused, match=r"another installation \(somebody\)"):
        await mover.move()
    assert mover.empty()


def breaking(mover: Mover, at: str) -> Callable[[str, int, int | None], None]:
    """Cut the connection when the copying has come to a table."""

    def tell(what: str, done: int, total: int | None) -> None:
        if what == at and done == total:
            mover.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'yurt%'")

    return tell


async def test_a_connection_that_breaks_leaves_everything_as_it_was(mover: Mover) -> None:
    store = await mover.sqlite.open()
    await store.journal.write(*(accept(number) for number in range(100)))
    await store.close()
    with pytest.raises(StoreRefused, match="Nothing was changed"):
        await mover.move(breaking(mover, "calls"))
    assert mover.empty()
    assert await mover.opens_in_sqlite()
    assert (await mover.move()).rows["calls"] == 100


async def test_a_database_that_took_fewer_rows_is_left_empty(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await mover.sqlite.open()
    await store.journal.write(*(accept(number) for number in range(10)))
    await store.close()
    whole = filling.batches
    monkeypatch.setattr(filling, "batches", lambda rows: whole(row for row in rows if row[0] != accept(3).seq))
    with pytest.raises(StoreRefused, match="table calls has 9 rows, and 10 were sent"):
        await mover.move()
    assert mover.empty()
    assert await mover.opens_in_sqlite()


@pytest.mark.parametrize("committed", [True, False])
async def test_a_commit_without_an_answer_is_found_out_by_the_same_command(
    mover: Mover, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    store = await mover.sqlite.open()
    await store.journal.write(*(accept(number) for number in range(10)))
    await store.close()
    whole = filling.fill

    async def cut(db: Any, *args: Any, ready: Callable[[], None], **options: Any) -> dict[str, int]:
        def cutting() -> None:
            ready()
            if not committed:
                breaking(mover, "")("", 0, 0)

        await whole(db, *args, ready=cutting, **options)
        raise ConnectionResetError("the connection was cut")

    with monkeypatch.context() as patch:
        patch.setattr("yurt.outbound.store.moving.fill", cut)
        with pytest.raises(StoreRefused, match="Run the same command again"):
            await mover.move()
    assert mover.empty() is not committed
    assert not await mover.opens_in_sqlite()

    assert (await mover.move()).rows["calls"] == 10
    assert not await mover.opens_in_sqlite()
    assert await mover.opens_in_postgres()
    assert (mover.directory / "yurt.db.moved").exists()
