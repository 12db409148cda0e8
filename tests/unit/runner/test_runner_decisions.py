"""What the runner decides, without any process."""

import hashlib
import io
import itertools
import json
import os
import socket
import zipfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.outbound.runner_file import build_runner
from yurt_runner import wire
from yurt_runner.environment import take_start
from yurt_runner.ledger import MAX_HANDED, Ledger
from yurt_runner.load import EntrypointError, split_entrypoint
from yurt_runner.loop import Loop
from yurt_runner.page import CANCEL, MAX_ROWS, TIMEOUT, Asks, Page
from yurt_runner.parting import part
from yurt_runner.session import backoff_s
from yurt_runner.splitter import Splitter
from yurt_runner.start import read_address, read_start
from yurt_runner.unpack import BadSource, unpack
from yurt_runner.watch import Asked, judge


def input_frame(seq: int, size: int = 0, number: int = 1) -> wire.Frame:
    return wire.Frame(wire.INPUT, 0, 0, seq, seq, wire.meta(number=number), b"x" * size)


# Ledger.


def test_a_ledger_hands_over_in_order_and_no_more_than_it_may() -> None:
    ledger = Ledger()
    for seq in range(1, 101):
        assert ledger.add(input_frame(seq))

    handed = ledger.hand_over()

    assert [held.key for held in handed] == [(seq, seq) for seq in range(1, MAX_HANDED + 1)]
    assert ledger.hand_over() == []
    assert ledger.finish((1, 1), b"")
    assert [held.key for held in ledger.hand_over()] == [(65, 65)]


def test_large_inputs_go_one_by_one() -> None:
    ledger = Ledger()
    for seq in (1, 2):
        ledger.add(input_frame(seq, size=2 << 20))

    assert [held.key for held in ledger.hand_over()] == [(1, 1)]
    ledger.finish((1, 1), b"")
    assert [held.key for held in ledger.hand_over()] == [(2, 2)]


def test_what_is_held_is_not_taken_again_until_it_is_acknowledged() -> None:
    ledger = Ledger()
    assert ledger.add(input_frame(1))
    assert not ledger.add(input_frame(1))
    ledger.hand_over()
    assert not ledger.add(input_frame(1))
    ledger.finish((1, 1), b"output")
    assert not ledger.add(input_frame(1))
    ledger.acknowledge([(1, 1), (9, 9)])
    assert ledger.add(input_frame(1))


def test_a_report_tells_done_running_and_waiting_apart() -> None:
    ledger = Ledger()
    for seq in (1, 2, 3):
        ledger.add(input_frame(seq, number=seq))
    ledger.hand_over()
    ledger.add(input_frame(4, number=4))
    ledger.finish((1, 1), b"")

    assert ledger.report({(2, 2): 1.5}) == [
        (1, 1, 1, None, True),
        (2, 2, 2, 1.5, False),
        (3, 3, 3, None, False),
        (4, 4, 4, None, False),
    ]


def test_taking_back_forgets_what_waits_and_what_was_not_begun() -> None:
    ledger = Ledger()
    for seq in (1, 2):
        ledger.add(input_frame(seq))
    ledger.hand_over()
    ledger.add(input_frame(3))

    assert ledger.take_back([(2, 2), (8, 8)]) == [(2, 2), (3, 3)]
    assert ledger.report({}) == [(1, 1, 1, None, False)]


def test_only_a_handed_input_can_finish() -> None:
    ledger = Ledger()
    ledger.add(input_frame(1))

    assert not ledger.finish((1, 1), b"")
    assert not ledger.cancel_waiting((2, 2))
    assert ledger.cancel_waiting((1, 1))
    assert ledger.finish((1, 1), b"")


def test_a_ledger_hands_over_as_many_as_run_at_once_however_large() -> None:
    ledger = Ledger()
    ledger.rows = 100
    for seq in range(1, 200):
        ledger.add(input_frame(seq, size=1 << 20))

    assert [held.key for held in ledger.hand_over()] == [(seq, seq) for seq in range(1, 101)]


def batch(*seqs: int) -> list[wire.Frame]:
    *more, last = (input_frame(seq) for seq in seqs)
    return [frame._replace(flags=wire.MORE) for frame in more] + [last]


def with_batches(*batches: list[wire.Frame]) -> Ledger:
    ledger = Ledger()
    for frame in itertools.chain(*batches):
        assert ledger.add(frame)
    return ledger


def test_a_batch_is_handed_over_as_one_and_finishes_one_by_one() -> None:
    ledger = with_batches(batch(1, 2, 3), batch(4))
    first, second = ledger.hand_over()

    assert [one.key for one in first.unit] == [(1, 1), (2, 2), (3, 3)]
    assert [frame.flags for frame in wire.unpack(first.frames())] == [wire.MORE, wire.MORE, 0]
    assert [frame.seq for frame in wire.unpack(second.frames())] == [4]
    assert ledger.units == 2
    assert ledger.finish((1, 1), b"")
    assert ledger.units == 2
    assert ledger.report({(1, 1): 0.5})[1:] == [(2, 2, 1, 0.5, False), (3, 3, 1, 0.5, False), (4, 4, 1, None, False)]


def test_a_batch_waits_until_it_is_whole_or_closed() -> None:
    ledger = with_batches(batch(1, 2, 3)[:2])
    assert ledger.hand_over() == []
    ledger.close_batch()

    assert [frame.flags for frame in wire.unpack(ledger.hand_over()[0].frames())] == [wire.MORE, 0]


def test_a_batch_ends_with_its_last_frame_also_if_that_is_known() -> None:
    ledger = with_batches(batch(3))
    for frame in batch(1, 2, 3):
        ledger.add(frame)

    assert [[one.key[0] for one in held.unit] for held in ledger.hand_over()] == [[3], [1, 2]]


@given(st.sets(st.integers(1, 4)))
def test_who_leaves_a_waiting_batch_leaves_the_rest_in_order(leave: set[int]) -> None:
    ledger = with_batches(batch(1, 2, 3, 4), batch(5))
    for seq in leave:
        assert ledger.cancel_waiting((seq, seq))
        assert ledger.finish((seq, seq), b"")

    units = [[one.key[0] for one in held.unit] for held in ledger.hand_over()]
    assert units == [unit for unit in ([seq for seq in range(1, 5) if seq not in leave], [5]) if unit]


def test_a_batch_is_to_be_interrupted_once_all_its_members_are_cancelled() -> None:
    ledger = with_batches(batch(1, 2), batch(3))
    ledger.hand_over()

    assert ledger.cancel_handed((2, 2)) is None
    assert ledger.cancel_handed((1, 1)) == (1, 1)
    assert ledger.cancel_handed((3, 3)) == (3, 3)


def test_taking_back_a_batch_takes_all_of_it() -> None:
    ledger = with_batches(batch(1, 2))
    ledger.hand_over()
    for frame in batch(3, 4, 5)[:2]:
        ledger.add(frame)

    assert ledger.take_back([(1, 1)]) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert ledger.report({}) == []


# Who is to blame.

UNITS = st.lists(st.integers(1, 3), max_size=4)


@given(UNITS, st.data())
def test_of_what_a_dead_worker_had_each_goes_one_way(sizes: list[int], data: st.DataObject) -> None:
    ledger, seq = Ledger(), itertools.count(1)
    for size in sizes:
        for frame in batch(*(next(seq) for _ in range(size))):
            ledger.add(frame)
    leads = ledger.hand_over()
    keys = [held.key for held in leads]
    unused = data.draw(st.sets(st.sampled_from(keys))) if keys else set()
    running = data.draw(st.sets(st.sampled_from(keys))) - unused if keys else set()
    forced = data.draw(st.sampled_from([None, *sorted(running)]))
    outcome = "timeout" if forced else data.draw(st.sampled_from([None, "crashed", "out_of_memory"]))

    end, back, lost = part(leads, unused=unused, running=running, outcome=outcome, forced=forced)

    members = {held.key: [one.key for one in held.unit] for held in leads}
    returned = [key for lead in back for key in members[lead]]
    assert sorted(end + returned + lost) == sorted(itertools.chain(*members.values()))
    assert unused <= set(back)
    ran = [key for lead in running for key in members[lead]]
    if forced:
        assert (end, lost) == (members[forced], [])
    elif outcome == "crashed":
        assert end == (ran if len(ran) == 1 else [])
        assert sorted(lost) == ([] if len(ran) == 1 else sorted(ran))
    elif outcome is None:
        assert (end, sorted(lost)) == ([], sorted(ran))


def test_arguments_that_alone_are_too_much_are_to_blame_before_user_code_begins() -> None:
    ledger = with_batches(batch(1), batch(2))
    leads = ledger.hand_over()

    assert part(leads, unused=[(2, 2)], running=[], outcome="out_of_memory", forced=None) == ([(1, 1)], [(2, 2)], [])


# Time.


def test_backoff_doubles_to_its_cap_and_is_patient_later() -> None:
    assert [backoff_s(n, 4, 1.0) for n in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert [backoff_s(n, 2.9, 1.0) for n in range(5)] == [0.1] * 5, "a server that starts again is there soon"
    assert backoff_s(10, 11, 1.0) == 2.0
    assert backoff_s(10, 11, 0.0) == 1.0
    assert backoff_s(5000, 9.9, 1.0) == 0.5


@pytest.mark.parametrize(
    ("after", "told", "asked", "expected"),
    [
        (0.005, False, False, (False, False, False, 10.01)),
        (0.02, False, False, (True, False, False, 13.0)),
        (0.02, True, False, (False, False, False, 13.0)),
        (3.0, True, False, (False, True, False, 13.0)),
        (3.0, True, True, (False, False, False, 15.0)),
        (5.0, True, True, (False, False, True, 15.0)),
    ],
)
def test_verdicts(*, after: float, told: bool, asked: bool, expected: tuple[bool, bool, bool, float]) -> None:
    request = Asked((1, 1), CANCEL, 2.0, 15.0) if asked else None

    assert judge(since=10.0, now=10.0 + after, timeout_s=3.0, told=told, asked=request) == expected


def test_among_many_the_news_of_a_start_waits_longer() -> None:
    verdict = judge(since=10.0, now=10.02, timeout_s=3.0, told=False, asked=None, started_after_s=0.05)

    assert verdict == (False, False, False, 10.05)


def test_a_timer_is_set_for_sooner_and_never_for_later() -> None:
    loop, fired = Loop(now=lambda: 5.0), []
    loop.at("a", 9.0, lambda: fired.append("late"))
    loop.by("a", 5.0, lambda: fired.append("soon"))
    loop.by("a", 7.0, lambda: fired.append("later"))
    loop.turn()

    assert fired == ["soon"]


def test_a_timer_that_was_put_off_waits_and_others_do_not() -> None:
    now, fired = [0.0], []
    loop = Loop(now=lambda: now[0])
    loop.at("a", 5.0, lambda: fired.append("too soon"))
    loop.at("a", 9.0, lambda: fired.append("a"))
    for now[0] in (5.0, 8.0, 9.0):
        loop.at("b", now[0], partial(fired.append, f"b at {now[0]:g}"))
        loop.turn()

    assert fired == ["b at 5", "b at 8", "a", "b at 9"]


def test_timers_replace_each_other_and_fire_once() -> None:
    loop, fired = Loop(), []
    loop.after("a", 0, lambda: fired.append("first"))
    loop.after("a", 0, lambda: fired.append("second"))
    loop.after("b", 0, lambda: loop.drop("c"))
    loop.after("c", 0, lambda: fired.append("dropped"))
    loop.turn()
    loop.after("end", 0, lambda: fired.append("end"))
    loop.turn()

    assert fired == ["second", "end"]
    assert not loop.has("a")


def test_a_callback_may_forget_a_descriptor_that_is_ready() -> None:
    loop, heard = Loop(), []
    pairs = [socket.socketpair() for _ in range(2)]

    def hear(fd: int, other: int, _: int) -> None:
        heard.append(fd)
        loop.forget(other)

    for (ours, theirs), (other, _) in zip(pairs, reversed(pairs), strict=True):
        theirs.send(b"x")
        loop.watch(ours.fileno(), partial(hear, ours.fileno(), other.fileno()))
    loop.turn()

    assert len(heard) == 1
    for pair in pairs:
        for end in pair:
            end.close()


# Shapes.


@given(st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=50)), max_size=6), st.integers(1, 200))
def test_frames_survive_any_cut(parts: list[tuple[bytes, bytes]], step: int) -> None:
    stream = b"".join(
        wire.pack(wire.INPUT, seq, seq + 1, payload, meta=head) for seq, (head, payload) in enumerate(parts)
    )
    splitter, frames = Splitter(), []
    for at in range(0, len(stream), step):
        frames += splitter.feed(stream[at : at + step])

    assert [wire.unpack(frame) for frame in frames] == [[frame] for frame in wire.unpack(stream)]


def test_a_frame_of_absurd_size_is_refused() -> None:
    with pytest.raises(wire.ProtocolError):
        Splitter().feed(wire.HEAD.pack(0, wire.MAX_MESSAGE_BYTES + 1, 1, 0, 0, 0, 0))


def test_a_page_shows_the_same_in_both_processes() -> None:
    page = Page()
    assert page.mark().key is None
    page.begin(1 << 63, 2, 3.5)
    page.ask(4, 5, CANCEL)
    page.count_read()
    pid = os.fork()
    if pid == 0:
        good = page.mark() == (1, 1 << 63, 2, 3.5) and page.asked() == (4, 5, CANCEL) and page.reads() == 1
        page.set_out_of_memory()
        os._exit(0 if good else 1)

    assert os.waitpid(pid, 0)[1] == 0
    assert page.out_of_memory()
    page.begin(0, 0, 0.0)
    assert page.mark().key is None


def test_rows_of_a_page_are_apart() -> None:
    page = Page()
    page.rows = MAX_ROWS
    page.begin(1, 10, 0.5, MAX_ROWS - 1)
    page.begin(2, 20, 1.5, 0)
    page.begin(3, 30, 2.5, 7)
    page.begin(0, 0, 0.0, 7)

    assert [(mark.seq, mark.token, mark.since) for mark in page.marks()] == [(2, 20, 1.5), (1, 10, 0.5)]
    page.rows = 1
    assert [mark.seq for mark in page.marks()] == [2]


@given(st.lists(st.sampled_from(["ask", "read", "take"]), max_size=30))
def test_every_ask_is_heard_once(steps: list[str]) -> None:
    """At most as many are open as there are rows: nobody else can be asked for."""
    page = Page()
    page.rows = 3
    asks, numbers = Asks(page), itertools.count(1)
    open_: list[int] = []
    for step in steps:
        if step == "ask" and len(open_) < page.rows:
            open_.append(next(numbers))
            page.ask(open_[-1], open_[-1] + 100, CANCEL)
        elif step == "read":
            assert asks.waiting() == [(seq, seq + 100) for seq in open_]
        elif open_:
            seq = open_.pop(0)
            assert asks.take((seq, seq + 100)) == CANCEL
            assert asks.take((seq, seq + 100)) == 0


def test_asks_that_nobody_takes_are_forgotten() -> None:
    page = Page()
    asks = Asks(page)
    for seq in range(1, 100):
        page.ask(seq, seq, TIMEOUT)
        asks.waiting()

    assert asks.waiting() == [(98, 98), (99, 99)]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:7600", ("127.0.0.1", 7600, "127.0.0.1:7600", "")),
        ("http://yurt.example", ("yurt.example", 80, "yurt.example", "")),
        ("http://[::1]:7600/base/", ("::1", 7600, "[::1]:7600", "/base")),
        ("http://[::1]", ("::1", 80, "[::1]", "")),
    ],
)
def test_addresses(url: str, expected: tuple[str, int, str, str]) -> None:
    assert read_address(url) == expected


@pytest.mark.parametrize("url", ["", "https://host", "http://", "http://:80", "http://a:b@host", "http://host:port"])
def test_addresses_that_cannot_be_dialled(url: str) -> None:
    with pytest.raises(ValueError, match="must look like"):
        read_address(url)


def test_a_bad_start_line_does_not_show_its_token() -> None:
    with pytest.raises(ValueError, match="lacks 'scratch'") as caught:
        read_start('{"url":"u","container_id":"c","start_token":"hidden"}')

    assert "hidden" not in str(caught.value)


def test_a_credential_in_a_file_is_read_from_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("in-a-file\n")
    line = {"url": "u", "container_id": "c", "token_file": str(tmp_path / "token"), "scratch": "s"}
    assert read_start(json.dumps(line)).start_token == "in-a-file"


@pytest.mark.parametrize("text", ["", "[]", "7", "null"])
def test_what_is_no_start_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be one JSON object"):
        read_start(text)


def test_a_credential_that_cannot_be_read_is_told_by_its_path(tmp_path: Path) -> None:
    line = {"url": "u", "container_id": "c", "token_file": str(tmp_path / "token"), "scratch": "s"}
    with pytest.raises(ValueError, match=r"cannot be read.*token"):
        read_start(json.dumps(line))


def test_what_is_for_the_runner_is_taken_out_of_the_environment() -> None:
    environ = {"YURT_START": "{}", "YURT_HIDDEN": "A_TOKEN B_TOKEN", "A_TOKEN": "secret", "HOME": "/"}
    assert take_start(environ) == "{}"
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    ("assigned", "seen"),
    [("GPU-1,GPU-2", "GPU-1,GPU-2"), ("void", ""), ("none", ""), ("all", None), (None, None)],
)
def test_processes_see_the_gpus_that_they_were_assigned(assigned: str | None, seen: str | None) -> None:
    environ = {} if assigned is None else {"NVIDIA_VISIBLE_DEVICES": assigned}
    assert take_start(environ) is None
    assert environ.get("CUDA_VISIBLE_DEVICES") == seen


@pytest.mark.parametrize(
    ("entrypoint", "expected"),
    [("main:f", ("main", "f")), ("a.b:f", ("a.b", "f")), ("a/b:f", ("a.b", "f")), ("a/b.py:f", ("a.b", "f"))],
)
def test_entrypoints(entrypoint: str, expected: tuple[str, str]) -> None:
    assert split_entrypoint(entrypoint) == expected


@pytest.mark.parametrize("entrypoint", ["main", "main:", ":f", "main:f.g", "../main:f", "main:1", "a-b:f", ""])
def test_entrypoints_of_another_form(entrypoint: str) -> None:
    with pytest.raises(EntrypointError, match="module:function"):
        split_entrypoint(entrypoint)


# Archives.


def archive_of(*members: tuple[zipfile.ZipInfo | str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in members:
            file.writestr(name, data)
    return buffer.getvalue()


@given(
    st.dictionaries(
        st.from_regex(r"[a-zß]{1,8}(/[a-z]{1,8}){0,2}\.py", fullmatch=True), st.binary(max_size=3000), max_size=5
    ),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_archives_are_unpacked_as_zipfile_packs_them(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], method: int
) -> None:
    folder = tmp_path_factory.mktemp("source")

    unpack(archive_of(*files.items(), method=method), str(folder))

    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == files


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (b"", "not a zip"),
        (b"garbage", "not a zip"),
        (archive_of(("a.py", b"x"))[:-30], "not a zip"),
        (archive_of(("a.py", b"x"), method=zipfile.ZIP_STORED).replace(b"a.pyx", b"a.pyy", 1), "damaged"),
        (archive_of(("a.py", b"x"), method=zipfile.ZIP_BZIP2), "another method"),
        (archive_of(("../a.py", b"x")), "unsafe name"),
        (archive_of(("/a.py", b"x")), "unsafe name"),
        (archive_of(("a/./b.py", b"x")), "unsafe name"),
        (archive_of((link(), b"/etc/passwd")), "a link"),
    ],
    ids=itertools.count(),
)
def test_archives_that_are_refused(tmp_path: Path, archive: bytes, words: str) -> None:
    with pytest.raises(BadSource, match=words):
        unpack(archive, str(tmp_path / "source"))

    assert list(tmp_path.rglob("*.py")) == []


def test_a_bomb_is_refused_before_it_bursts(tmp_path: Path) -> None:
    small = bytearray(archive_of(("a.py", bytes(5_000_000))))
    directory = small.rfind(b"PK\1\2")
    small[directory + 24 : directory + 28] = (100).to_bytes(4, "little")

    with pytest.raises(BadSource, match="damaged"):
        unpack(bytes(small), str(tmp_path / "source"))
    small[directory + 24 : directory + 28] = (2 << 30).to_bytes(4, "little")
    with pytest.raises(BadSource, match="larger than 1024 MiB"):
        unpack(bytes(small), str(tmp_path / "source"))


# The file.


def test_the_runner_file_is_the_same_each_time_and_named_by_its_hash() -> None:
    one, two = build_runner(), build_runner()

    assert one == two
    assert one.sha256 == hashlib.sha256(one.data).hexdigest()
    names = zipfile.ZipFile(io.BytesIO(one.data)).namelist()
    assert names[0] == "__main__.py"
    assert {"yurt_runner/worker.py", "yurt_runner/worker.pyc", "yurt_runner/__init__.py"} <= set(names)
