"""Bytes of the log pipes as lines of the right input."""

import json
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt_runner.logs import (
    BEFORE,
    MAX_BATCH_BYTES,
    MAX_LINE_BYTES,
    NO_INPUT,
    TAIL_BYTES,
    Batch,
    LogBook,
    marker,
    new_secret,
)
from yurt_runner.page import Page

SECRET = b"0123456789abcdef"


class Pipes:
    """Both pipes, a page, and the book that reads them."""

    def __init__(self) -> None:
        self.page = Page()
        self.out_read, self.out = os.pipe()
        self.err_read, self.err = os.pipe()
        for fd in (self.out_read, self.err_read):
            os.set_blocking(fd, False)
        self.book = LogBook(self.out_read, self.err_read, self.page, SECRET)

    def read(self) -> None:
        self.book.drain(1.0)

    def lines(self) -> list[tuple[int, str]]:
        """(seq, text) of what has become a line."""
        payload, _ = self.book.batch.take(2.0)
        return [(seq, text) for _, _, seq, _, text in json.loads(payload)]

    def close(self) -> None:
        for fd in (self.out_read, self.out, self.err_read, self.err):
            os.close(fd)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    one = Pipes()
    yield one
    one.close()


def test_a_line_bears_age_stream_and_input(pipes: Pipes) -> None:
    pipes.page.begin(7, 70, 0.5)
    os.write(pipes.err, b"hello\n")
    pipes.read()

    payload, dropped = pipes.book.batch.take(1.25)
    assert json.loads(payload) == [[0.25, "stderr", 7, 70, "hello"]]
    assert dropped == 0


@pytest.mark.parametrize("last", ["\n", "a", "é", "\x7f"])
def test_the_end_of_a_text_is_not_held_for_a_marker(last: str) -> None:
    ends = last.encode()
    assert all(not new_secret().startswith(ends[-size:]) for size in (1, len(ends)) for _ in range(2000))


def test_a_part_of_a_line_waits_for_its_end(pipes: Pipes) -> None:
    os.write(pipes.out, b"one ")
    pipes.read()
    assert not pipes.book.batch
    os.write(pipes.out, b"line\n\nnext")
    pipes.read()

    assert pipes.lines() == [(0, "one line"), (0, "")]


def test_a_marker_gives_the_past_to_its_input_and_ends_the_line(pipes: Pipes) -> None:
    os.write(pipes.out, b"of one\nrest" + marker(SECRET, 1, 10) + b"of two\n" + marker(SECRET, 2, 20) + b"of three\n")
    pipes.page.begin(3, 30, 0.0)
    pipes.read()

    assert pipes.lines() == [(1, "of one"), (1, "rest"), (2, "of two"), (3, "of three")]


@given(
    st.lists(st.tuples(st.lists(st.text("ab\n", min_size=1, max_size=6), max_size=4), st.booleans()), max_size=12),
    st.integers(0, 2**30),
)
def test_every_line_finds_its_input_whenever_it_is_read(parts: list[tuple[list[str], bool]], when: int) -> None:
    """The worker prints pieces and ends inputs, as `printing.Printing` does; the reads come at any time between."""
    pipes, expected = Pipes(), []
    try:
        for seq, (pieces, read_at_end) in enumerate(parts, 1):
            pipes.page.begin(seq, seq, 0.0)
            reads, unread = pipes.page.reads(), False
            for piece in pieces:
                os.write(pipes.out, piece.encode())
                unread = True
                when, read_now = when >> 1, when & 1
                if read_now:
                    pipes.read()
                    unread = False
            if unread or pipes.page.reads() != reads:
                os.write(pipes.out, marker(SECRET, seq, seq))
            pipes.page.begin(0, 0, 0.0)
            if read_at_end:
                pipes.read()
            text = "".join(pieces)
            expected += [(seq, line) for line in text.split("\n")[: None if text[-1:] not in {"", "\n"} else -1]]
        pipes.read()
        pipes.book.finish(1.0)

        assert pipes.lines() == expected
    finally:
        pipes.close()


@pytest.mark.parametrize("cut", range(1, 36))
def test_a_marker_that_is_read_in_two_pieces_is_a_marker(pipes: Pipes, cut: int) -> None:
    stream = b"abc" + marker(SECRET, 7, 7) + b"def\n"
    pipes.page.begin(7, 7, 0.0)
    os.write(pipes.out, stream[:cut])
    pipes.read()
    os.write(pipes.out, stream[cut:])
    pipes.page.begin(0, 0, 0.0)
    pipes.read()

    assert [text for _, text in pipes.lines()] == ["abc", "def"]


class Moving(Page):
    """A page whose mark changes with every look: an input ends during each read."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = True

    def count_read(self) -> None:
        super().count_read()
        if self.moves:
            self.begin(self.reads(), 1, 0.0)


def test_bytes_of_unknown_owner_wait_for_a_marker_or_the_tick() -> None:
    pipes = Pipes()
    page = Moving()
    pipes.book = LogBook(pipes.out_read, pipes.err_read, page, SECRET)
    try:
        os.write(pipes.out, b"of nine\n")
        pipes.read()
        assert not pipes.book.batch
        assert pipes.book.pending
        os.write(pipes.out, marker(SECRET, 9, 9) + b"unknown\n")
        pipes.read()
        assert pipes.lines() == [(9, "of nine")]
        pipes.book.settle(1.0)
        assert [text for _, text in pipes.lines()] == ["unknown"]
        assert not pipes.book.pending
    finally:
        pipes.close()


def test_a_line_above_the_limit_is_cut_once(pipes: Pipes) -> None:
    for _ in range(3):
        os.write(pipes.out, b"x" * 10_000)
        pipes.read()
    os.write(pipes.out, b"\nshort\n")
    pipes.read()

    (_, cut), short = pipes.lines()
    assert cut == "x" * MAX_LINE_BYTES + " … (line cut at 16 KiB)"
    assert short == (0, "short")


def test_what_exceeds_a_batch_is_counted_line_by_line(pipes: Pipes) -> None:
    line = b"x" * 99 + b"\n"
    written = 0
    for _ in range(40):
        written += os.write(pipes.out, line * 655)
        pipes.read()
    for piece in (b"half ", b"of a line", b" more\n", line[:50]):
        os.write(pipes.out, piece)
        pipes.read()
    os.write(pipes.out, b"\n")
    pipes.read()

    payload, dropped = pipes.book.batch.take(1.0)
    assert len(json.loads(payload)) + dropped == written // 100 + 2
    assert len(payload) < 2 * MAX_BATCH_BYTES


def test_a_batch_that_has_left_makes_room() -> None:
    batch = Batch()
    batch.add(0.0, "stdout", (1, 1), b"x" * MAX_BATCH_BYTES)
    batch.add(0.0, "stdout", (1, 1), b"too much")
    assert batch.take(0.0)[1] == 1
    batch.add(0.0, "stdout", (1, 1), b"again")

    assert [row[4] for row in json.loads(batch.take(0.0)[0])] == ["again"]


def test_the_tail_is_of_the_last_input_alone(pipes: Pipes) -> None:
    pipes.page.begin(1, 1, 0.0)
    os.write(pipes.out, b"of one\n")
    pipes.read()
    pipes.page.begin(2, 2, 0.0)
    os.write(pipes.out, b"y" * 5000 + b"end\n")
    os.write(pipes.err, b"Fatal\n")
    pipes.read()

    tail = pipes.book.last_output()
    assert len(tail) == TAIL_BYTES
    assert tail.endswith("yend\nFatal\n")
    assert "of one" not in tail


def test_bytes_that_are_no_text_are_replaced(pipes: Pipes) -> None:
    os.write(pipes.out, b"\xff\n")
    pipes.read()

    assert pipes.lines() == [(0, "\ufffd")]


# Several inputs at once.


@given(
    st.lists(st.tuples(st.integers(0, 3), st.text("ab", min_size=1, max_size=6)), max_size=20),
    st.integers(1, 200),
)
def test_every_voice_finds_its_input_wherever_the_stream_is_cut(said: list[tuple[int, str]], cut: int) -> None:
    """Input 0 is nobody: a child, or a thread without a context."""
    pipes = Pipes()
    pipes.page.rows = 4
    stream = b""
    for seq, text in said:
        line = text.encode() + b"\n"
        stream += marker(SECRET, seq, seq) + line + marker(SECRET, 0, 0) if seq else line
    try:
        for at in range(0, len(stream), cut):
            os.write(pipes.out, stream[at : at + cut])
            pipes.read()
        pipes.book.finish(1.0)

        assert pipes.lines() == [(seq, text) for seq, text in said]
    finally:
        pipes.close()


def test_what_nobody_says_is_the_only_running_inputs(pipes: Pipes) -> None:
    pipes.page.rows = 4
    pipes.page.set_alone(5, 5)
    os.write(pipes.out, b"of a child\n")
    pipes.read()
    pipes.page.set_alone(*NO_INPUT)
    os.write(pipes.out, b"of whom?\n")
    pipes.read()

    assert pipes.lines() == [(5, "of a child"), (0, "of whom?")]


def test_what_was_read_after_its_input_had_ended_is_still_its_own(pipes: Pipes) -> None:
    pipes.page.rows = 4
    pipes.page.set_alone(5, 5)
    said = marker(SECRET, 6, 6) + b"of another\n" + marker(SECRET, *NO_INPUT)
    os.write(pipes.out, b"of a child\n" + said + b"of another child\n" + marker(SECRET, 5 | BEFORE, 5))
    pipes.page.set_alone(7, 7)
    os.write(pipes.out, b"of the next\n")
    pipes.read()

    assert pipes.lines() == [(5, "of a child"), (6, "of another"), (5, "of another child"), (7, "of the next")]


@pytest.mark.parametrize("marked", [True, False])
def test_what_is_read_while_its_input_ends_waits_for_a_marker(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch, *, marked: bool
) -> None:
    """Without one it is of whoever ran alone as it was read."""
    read = os.read

    def read_while_it_ends(fd: int, most: int) -> bytes:
        data = read(fd, most)
        assert pipes.page.reads() % 2, "the worker would not know"
        pipes.page.set_alone(7, 7)
        return data

    pipes.page.rows = 4
    pipes.page.set_alone(5, 5)
    os.write(pipes.out, b"of a child\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read_while_it_ends)
        pipes.read()
    assert pipes.book.pending
    assert pipes.lines() == []
    pipes.page.set_alone(*NO_INPUT)
    os.write(pipes.out, marker(SECRET, 5 | BEFORE, 5) * marked + b"of whom?\n")
    pipes.read()

    assert pipes.lines() == [(5 if marked else 7, "of a child"), (0, "of whom?")]


@pytest.mark.parametrize("last", ["settle", "finish"])
def test_what_no_marker_follows_is_given_away_in_time(pipes: Pipes, monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    read = os.read

    def read_while_it_begins(fd: int, most: int) -> bytes:
        pipes.page.set_alone(7, 7)
        return read(fd, most)

    pipes.page.rows = 4
    os.write(pipes.out, b"of a child\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read_while_it_begins)
        pipes.read()
    getattr(pipes.book, last)(1.0)

    assert pipes.lines() == [(7, "of a child")]
