"""Encryption, and the life of the server's own key: made once, rotated, never made again over secrets."""

import stat
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from yurt.domain.errors import Unavailable
from yurt.domain.secrets import MasterKey, SecretUnusable
from yurt.outbound import sealing
from yurt.outbound.sealing import FILE_NAME, KeyRing, SecretKeyRefused, open_ring

ONE, TWO = MasterKey(b"1" * 32), MasterKey(b"2" * 32)
HUSH = b"hush-hush-hush"


def opened(place: Path, *, given: str | None = None, file: Path | None = None, needed: Collection[str] = ()) -> KeyRing:
    return open_ring(place, given=given, file=file, needed=needed)


def test_what_is_sealed_shows_nothing_and_comes_back() -> None:
    ring = KeyRing([ONE], None)
    first, second = ring.seal(HUSH, b"here"), ring.seal(HUSH, b"here")
    assert first.key_id == ring.key_id == ONE.id
    assert first.data != second.data
    assert HUSH not in first.data
    assert "data" not in repr(first)
    assert ring.unseal(first, b"here") == ring.unseal(second, b"here") == HUSH


def test_it_belongs_to_one_place_and_cannot_be_changed() -> None:
    ring = KeyRing([ONE], None)
    sealed = ring.seal(HUSH, b"here")
    changed = bytes([sealed.data[0] ^ 1]) + sealed.data[1:]
    for broken, about in (
        (sealed, b"there"),
        (replace(sealed, data=changed), b"here"),
        (replace(sealed, data=sealed.data[:-1]), b"here"),
        (replace(sealed, data=b""), b"here"),
    ):
        with pytest.raises(SecretUnusable, match="damaged, or belongs to another secret"):
            ring.unseal(broken, about)


def test_the_first_key_encrypts_and_each_decrypts() -> None:
    old = KeyRing([ONE], None).seal(HUSH, b"")
    ring = KeyRing([TWO, ONE], None)
    assert ring.unseal(old, b"") == HUSH
    assert ring.seal(HUSH, b"").key_id == TWO.id
    with pytest.raises(SecretUnusable, match=ONE.id):
        KeyRing([TWO], None).unseal(old, b"")


def test_the_first_start_makes_a_key_for_its_owner_alone(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    file = tmp_path / FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert opened(tmp_path).unseal(ring.seal(HUSH, b""), b"") == HUSH


def test_a_lost_key_is_made_again_only_without_secrets(tmp_path: Path) -> None:
    first = opened(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(SecretKeyRefused, match="Put that file back from a copy"):
        opened(tmp_path, needed=[first.key_id])
    assert not (tmp_path / FILE_NAME).exists()
    assert opened(tmp_path).key_id != first.key_id


def test_a_key_that_does_not_fit_is_refused_with_what_to_do(tmp_path: Path) -> None:
    own = opened(tmp_path)
    with pytest.raises(SecretKeyRefused) as refused:
        opened(tmp_path, given=ONE.text, needed=[own.key_id])
    told = str(refused.value)
    assert own.key_id in told
    assert str(tmp_path / FILE_NAME) in told
    assert "rotate-key" in told
    assert ONE.text not in told
    both = f"{ONE.text},{(tmp_path / FILE_NAME).read_text()}"
    assert opened(tmp_path, given=both, needed=[own.key_id]).key_id == ONE.id


@pytest.mark.parametrize("text", ["", "nonsense", "ü", MasterKey(b"1" * 16).text])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(SecretKeyRefused, match=FILE_NAME) as refused:
        opened(tmp_path)
    assert not text or text not in str(refused.value)
    assert (tmp_path / FILE_NAME).read_text() == text


def test_a_file_of_the_operator_is_read_and_never_made(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere"
    with pytest.raises(SecretKeyRefused, match="No such file"):
        opened(tmp_path, file=file)
    file.write_text(ONE.text)
    assert opened(tmp_path, file=file).key_id == ONE.id
    assert not (tmp_path / FILE_NAME).exists()


async def test_while_keys_change_the_file_has_both(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    old = ring.seal(HUSH, b"")
    assert await ring.renew()
    new = ring.seal(HUSH, b"")
    assert new.key_id != old.key_id
    killed = opened(tmp_path, needed=[old.key_id])
    assert [killed.unseal(sealed, b"") for sealed in (old, new)] == [HUSH, HUSH]

    await ring.forget()
    assert ring.unseal(old, b"") == HUSH  # read before, by a container that starts
    after = opened(tmp_path)
    assert after.ids == (new.key_id,)
    await ring.renew()
    assert len(opened(tmp_path).ids) == 2


async def test_keys_that_were_given_are_not_ours_to_make(tmp_path: Path) -> None:
    ring = opened(tmp_path, given=f"{TWO.text},{ONE.text}")
    assert not await ring.renew()
    await ring.forget()
    assert ring.ids == (TWO.id, ONE.id)
    assert list(tmp_path.iterdir()) == []


async def test_a_key_that_cannot_be_kept_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = opened(tmp_path)
    before = ring.key_id

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealing, "write_private", full)
    with pytest.raises(Unavailable, match="No space left"):
        await ring.renew()
    assert ring.key_id == before
