import contextlib
import io
import stat
import struct
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.domain import bundle
from yurt.domain.errors import Invalid


def archive(fill: Callable[[zipfile.ZipFile], None], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        fill(made)
    return out.getvalue()


def with_entry(name: str, text: str = "x", mode: int | None = None) -> bytes:
    def fill(made: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo(name)
        if mode is not None:
            entry.create_system = 3
            entry.external_attr = mode << 16
        made.writestr(entry, text)

    return archive(fill)


def refusal(data: bytes) -> str:
    with pytest.raises(Invalid) as caught:
        bundle.check_bundle(data)
    assert caught.value.errors
    return caught.value.detail


FILES = st.dictionaries(st.from_regex(r"[a-z]{1,8}\.[a-z]{1,3}", fullmatch=True), st.binary(max_size=200), max_size=5)


@given(FILES)
def test_packing_is_deterministic_and_what_is_packed_is_accepted(files: dict[str, bytes]) -> None:
    data = bundle.pack(files)
    assert data == bundle.pack(dict(reversed(list(files.items()))))
    bundle.check_bundle(data)
    opened = bundle.Archive(data)
    assert opened.sizes == {path: len(text) for path, text in files.items()}
    assert {path: opened.read(path) for path in files} == files


def test_the_bytes_of_an_archive_stay_the_same_over_releases() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle.pack({"b.py": b"", "a/c.py": b"x"}))) as made:
        entries = made.infolist()
    assert [entry.filename for entry in entries] == ["a/c.py", "b.py"]
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {stat.S_IFREG | 0o644}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../evil.py", '".." is not allowed'),
        ("a/../../evil.py", '".." is not allowed'),
        ("/etc/passwd", "absolute"),
        ("C:/evil.py", "absolute"),
        ("a\\b.py", "backslash"),
        ("a//b.py", "empty"),
        ("./a.py", "dot"),
        ("a\nb", "cannot be printed"),
        ("a" * 300, "too long"),
    ],
)
def test_unsafe_paths_are_refused(name: str, says: str) -> None:
    assert says in refusal(with_entry(name))


def test_a_path_that_ends_at_a_nul_for_some_readers_is_refused() -> None:
    data = with_entry("good.pyXevil").replace(b"good.pyXevil", b"good.py\0evil")
    assert "cannot be printed" in refusal(data)


@pytest.mark.parametrize(
    ("mode", "says"),
    [(stat.S_IFLNK | 0o777, "is a link"), (stat.S_IFCHR | 0o600, "neither"), (stat.S_IFIFO | 0o600, "neither")],
)
def test_links_and_devices_are_refused(mode: int, says: str) -> None:
    assert says in refusal(with_entry("a", "/etc/passwd", mode))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a.py", "a.py"], "two entries"),
        (["a", "a/b.py"], "is a file and also the folder"),
        (["a/", "a"], "two entries"),
        (["a", "a/"], "two entries"),
    ],
)
def test_entries_in_each_others_way_are_refused(names: list[str], says: str) -> None:
    def fill(made: zipfile.ZipFile) -> None:
        for name in names:
            made.writestr(name, "")

    assert says in refusal(archive(fill))


def test_folders_have_their_place() -> None:
    def fill(made: zipfile.ZipFile) -> None:
        made.writestr("a/", "")
        made.writestr("a/b.py", "x")

    data = archive(fill)
    bundle.check_bundle(data)
    assert bundle.Archive(data).sizes == {"a/b.py": 1}


def test_an_encrypted_entry_is_refused() -> None:
    data = bytearray(with_entry("a.py"))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert "is encrypted" in refusal(bytes(data))


def test_an_unusual_compression_is_refused() -> None:
    data = archive(lambda made: made.writestr("a.py", "x"), zipfile.ZIP_BZIP2)
    assert "neither stored nor deflated" in refusal(data)


def test_a_bomb_is_refused_by_what_it_really_holds() -> None:
    data = archive(lambda made: made.writestr("a.bin", bytes(64 << 20)))
    assert "unpacks to far more" in refusal(data)


def test_too_many_entries_are_refused_before_they_are_read() -> None:
    one = with_entry("a.py")
    mark = one.index(b"PK\x01\x02")
    assert "more than 20000 entries" in refusal(one[:mark] + b"PK\x01\x02" * (5 * bundle.MAX_ENTRIES + 1))


def test_too_many_entries_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_ENTRIES", 2)
    assert "3 entries" in refusal(bundle.pack({"a": b"", "b": b"", "c": b""}))


def test_a_wrong_checksum_is_told() -> None:
    data = archive(lambda made: made.writestr("a.py", "some text"), zipfile.ZIP_STORED)
    assert "Bad CRC" in refusal(data.replace(b"some text", b"Some text"))


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)[:-1]])
def test_what_is_no_archive_is_told(data: bytes) -> None:
    assert "not a zip archive" in refusal(data)


def test_a_directory_that_lies_about_sizes_is_refused() -> None:
    data = bytearray(archive(lambda made: made.writestr("a.py", "x" * 100), zipfile.ZIP_STORED))
    at = data.index(b"PK\x01\x02")
    data[at + 20 : at + 28] = struct.pack("<II", 50, 50)
    refusal(bytes(data))


@given(st.data())
def test_damage_anywhere_is_refused_or_harmless_but_never_an_accident(data: st.DataObject) -> None:
    whole = bytearray(bundle.pack({"main.py": b"def f(): pass", "b.py": b"x" * 50}))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Invalid):
        bundle.check_bundle(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
