"""`yurt store` on data directories whose server does not run."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.clocks import FreeClock
from tests.commands import Yurt
from tests.contract.store.making import accept, complete
from yurt.app import backup
from yurt.domain.changes import Save
from yurt.domain.records import Secret
from yurt.outbound.blobs import FileBlobs
from yurt.outbound.sealing import KeyRing, new_key, open_ring, write_keys
from yurt.outbound.store import open_store
from yurt.outbound.store.choosing import mark
from yurt.usecases.backup import Blobs, Rows, back_up

TEXT = b"yurt" * 100_000


async def fill(directory: Path) -> str:
    """Write a call with a blob, a token and a log; returns the blob's name."""
    store = await open_store(directory, clock=FreeClock())
    blobs = FileBlobs(directory / "blobs")
    await blobs.open()
    name = await blobs.put(TEXT)
    await store.journal.write(call := accept(1, args=None, args_blob=name))
    await store.journal.write(complete(call))
    await blobs.close()
    await store.close()
    (directory / "admin-token").write_text("tk-1:secret\n")
    (directory / "admin-token").chmod(0o600)
    log = directory / "logs" / "fu-1" / "co-1" / "000001-1800000000000000.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("[]\n")
    os.utime(log, (5, 5))
    return name


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "data"
    asyncio.run(fill(directory))
    monkeypatch.setenv("YURT_DATA_DIR", str(directory))
    return directory


def below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_a_copy_has_what_a_server_needs(yurt: Yurt, data: Path, tmp_path: Path) -> None:
    ran = yurt("store", "backup", tmp_path / "copy")

    assert ran.code == 0
    assert ran.out.startswith(f"{tmp_path / 'copy'}: ")
    assert "1 blobs of 0.4 MiB, without logs" in ran.out
    assert "MiB of rows" in ran.err
    blob = next(path for path in below(data) if path.startswith("blobs/"))
    assert below(tmp_path / "copy") == {"yurt.db", "admin-token", blob}
    assert (tmp_path / "copy" / blob).read_bytes() == TEXT
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "copy" / "admin-token").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"data", "copy"}


def test_logs_come_along_when_asked_and_keep_their_times(yurt: Yurt, data: Path, tmp_path: Path) -> None:
    ran = yurt("store", "backup", "--logs", "--json", "--data-dir", data, tmp_path / "copy")

    facts = json.loads(ran.out)
    assert (facts["logs"], facts["blobs"], facts["blobs_bytes"], facts["lost_blobs"]) == (True, 1, len(TEXT), [])
    assert facts["destination"] == str(tmp_path / "copy")
    (log,) = [path for path in below(tmp_path / "copy") if path.startswith("logs/")]
    assert (tmp_path / "copy" / log).stat().st_mtime == 5


def test_a_blob_that_the_server_has_lost_is_named(yurt: Yurt, data: Path, tmp_path: Path) -> None:
    (blob,) = [path for path in (data / "blobs").rglob("*") if path.is_file()]
    blob.unlink()

    ran = yurt("store", "backup", "--json", tmp_path / "copy")

    assert ran.code == 0
    assert json.loads(ran.out)["lost_blobs"] == [blob.name]
    assert f"Warning: blob {blob.name}" in ran.err


def test_a_destination_that_will_not_do(yurt: Yurt, data: Path, tmp_path: Path) -> None:
    for destination, said in (
        (tmp_path, "exists already"),
        (data / "copy", "is inside the data directory"),
        (tmp_path / "none" / "copy", "is no directory"),
    ):
        ran = yurt("store", "backup", destination)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err
        assert len(ran.err.splitlines()) == 2
    assert not (data / "copy").exists()


def test_no_store(yurt: Yurt, tmp_path: Path) -> None:
    for command in (("backup", tmp_path / "copy"), ("copy", "--to", "postgresql://127.0.0.1:1/none")):
        ran = yurt("store", *command, "--data-dir", tmp_path / "none")
        assert (ran.code, ran.out) == (3, "")
        assert f"no store in {tmp_path / 'none'}" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_postgresql_is_not_half_copied(yurt: Yurt, data: Path, tmp_path: Path) -> None:
    mark(data, "0123456789abcdef")

    ran = yurt("store", "backup", tmp_path / "copy")

    assert (ran.code, ran.out) == (1, "")
    assert "in PostgreSQL (installation 0123456789abcdef)" in ran.err
    assert "pg_dump" in ran.err
    assert not (tmp_path / "copy").exists()


def test_a_copy_that_fails_leaves_nothing(yurt: Yurt, data: Path, tmp_path: Path) -> None:
    with (data / "yurt.db").open("r+b") as file:
        file.seek(6000)
        file.write(b"\xff" * 30_000)

    ran = yurt("store", "backup", tmp_path / "copy")

    assert (ran.code, ran.out) == (1, "")
    assert "could not be copied" in ran.err
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_where_a_store_cannot_be_moved(yurt: Yurt, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = yurt("store", "copy", "--to", "mysql://u:hush@db/x")
    assert (ran.code, ran.out) == (2, "")
    assert "postgresql://user@host:port/database" in ran.err
    assert "hush" not in ran.err
    assert yurt("store", "copy").code == 2

    monkeypatch.setenv("YURT_STORE", "postgresql://u:hush@127.0.0.1:1/none")
    ran = yurt("store", "copy")
    assert (ran.code, ran.out) == (1, "")
    assert "127.0.0.1:1/none" in ran.err
    assert "Nothing was changed" in ran.err
    assert "hush" not in ran.err
    assert "installation" not in below(data)


async def keep_secret(directory: Path, ring: KeyRing) -> None:
    """Write a secret that is encrypted with the first key of the ring."""
    store = await open_store(directory, clock=FreeClock())
    sealed = ring.seal(b"{}", b"")
    await store.journal.write(Save(Secret("st-1", "main", "openai", "[]", sealed.key_id, sealed.data, 1.0, 1.0)))
    await store.close()


def test_the_key_of_secrets_is_in_the_copy_and_it_is_said(yurt: Yurt, data: Path, tmp_path: Path) -> None:
    asyncio.run(keep_secret(data, open_ring(data, given=None, file=None, needed=())))

    ran, told = yurt("store", "backup", tmp_path / "copy"), yurt("store", "backup", "--json", tmp_path / "other")

    assert ran.out.endswith("without logs, with the key of secrets\n")
    assert json.loads(told.out)["secret_key"] is True
    assert (tmp_path / "copy" / "secret-key").read_text() == (data / "secret-key").read_text()
    assert (tmp_path / "copy" / "secret-key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("stale", [False, True])
def test_a_key_that_was_given_is_not_in_the_copy_and_it_is_said(
    yurt: Yurt, data: Path, tmp_path: Path, *, stale: bool
) -> None:
    asyncio.run(keep_secret(data, KeyRing([new_key()], None)))
    if stale:  # the server's own key, from before it was given one
        write_keys(data / "secret-key", [new_key()])

    ran, told = yurt("store", "backup", tmp_path / "copy"), yurt("store", "backup", "--json", tmp_path / "other")

    assert ran.out.endswith("without logs, without the key of secrets\n")
    assert "start a server on it with the YURT_SECRET_KEY" in ran.err
    assert json.loads(told.out)["secret_key"] is False


def test_a_copy_made_while_keys_change_has_both(
    yurt: Yurt, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = open_ring(data, given=None, file=None, needed=())
    asyncio.run(keep_secret(data, ring))
    before = ring.key_id

    async def rotate() -> None:
        await ring.renew()
        await ring.forget()

    def rotated(rows: Rows, blobs: Blobs) -> frozenset[str]:
        lost = back_up(rows, blobs)
        asyncio.run(rotate())
        return lost

    monkeypatch.setattr(backup, "back_up", rotated)
    assert json.loads(yurt("store", "backup", "--json", tmp_path / "copy").out)["secret_key"] is True
    assert open_ring(tmp_path / "copy", given=None, file=None, needed=[before]).ids == (ring.key_id, before)


def test_a_damaged_key_is_not_copied(yurt: Yurt, data: Path, tmp_path: Path) -> None:
    (data / "secret-key").write_text("nonsense")
    ran = yurt("store", "backup", tmp_path / "copy")
    assert (ran.code, (tmp_path / "copy").exists()) == (1, False)
    assert f"{data / 'secret-key'} must be 32 random bytes" in ran.err
    assert "nonsense" not in ran.err
