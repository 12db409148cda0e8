import json
from pathlib import Path

import pytest

from tests.commands import Yurt
from tests.component.cli.fake_api import FakeApi

LINE = {"time": "2026-11-22T10:15:30.125Z", "stream": "stdout", "container_id": "co-1", "text": "resizing [1/2]"}


def test_call_prints_the_result_alone(api: FakeApi, yurt: Yurt) -> None:
    ran = yurt("call", "thumbs:resize", 3, '{"a": 1}', "width=200", "-5", "plain")

    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {"args": [3, {"a": 1}, -5, "plain"], "kwargs": {"width": 200}}


def test_call_says_on_stderr_what_it_waits_for_and_what_is_logged(api: FakeApi, yurt: Yurt) -> None:
    api.waits["thumbs:resize"] = ["A container is starting.", "Behind 2 others."]
    api.lines["/v1/function-calls/fc-1/logs"] = [LINE]

    ran = yurt("call", "thumbs:resize")

    assert ran.code == 0
    assert json.loads(ran.out) == {"args": [], "kwargs": {}}
    said = ran.err.splitlines()
    assert said[0] == "A container is starting."
    assert said[1] == "Behind 2 others."
    assert said[2].endswith("resizing [1/2]")
    assert said[3] == "running"


def test_call_goes_on_after_a_broken_connection(api: FakeApi, yurt: Yurt) -> None:
    api.waits["thumbs:resize"] = []
    api.lines["/v1/function-calls/fc-1/logs"] = [{**LINE, "text": text} for text in ("one", "two", "three")]
    api.cut = 2

    ran = yurt("call", "thumbs:resize", 1)

    assert ran.code == 0
    assert json.loads(ran.out) == {"args": [1], "kwargs": {}}
    assert [line.split()[-1] for line in ran.err.splitlines()] == ["starting.", "one", "two", "three", "running"]


ITEMS = [{"k": 0}, "one", None]
ENDED = {"status": "success", "num_items": 3}


def lines_of(text: str) -> list[object]:
    return [json.loads(line) for line in text.splitlines()]


def test_items_of_a_generator_are_printed_one_a_line(api: FakeApi, yurt: Yurt) -> None:
    api.items["text:words"], api.endings["text:words"] = ITEMS, ENDED

    ran = yurt("call", "text:words")

    assert (ran.code, lines_of(ran.out), ran.err) == (0, ITEMS, "")


def test_items_that_come_late_are_printed_too(api: FakeApi, yurt: Yurt) -> None:
    api.items["text:words"], api.endings["text:words"], api.waits["text:words"] = ITEMS, ENDED, ["Behind 2 others."]

    ran = yurt("call", "text:words")

    assert (ran.code, lines_of(ran.out)) == (0, ITEMS)
    assert ran.err.splitlines() == ["A container is starting.", "Behind 2 others.", "running"]


def test_a_stream_of_items_goes_on_after_a_broken_connection(api: FakeApi, yurt: Yurt) -> None:
    api.items["text:words"], api.endings["text:words"], api.cut = ITEMS, ENDED, 1

    ran = yurt("call", "text:words")

    assert (ran.code, lines_of(ran.out)) == (0, ITEMS)


def test_with_json_items_and_the_call_can_be_told_apart(api: FakeApi, yurt: Yurt) -> None:
    api.items["text:words"], api.endings["text:words"] = ITEMS, ENDED

    *items, call = lines_of(yurt("call", "text:words", "--json").out)

    assert items == [{"item": item} for item in ITEMS]
    assert call == {"call_id": "fc-1", "function_id": "text:words", **ENDED}


def test_items_go_to_a_file(api: FakeApi, yurt: Yurt, tmp_path: Path) -> None:
    api.items["text:words"], api.endings["text:words"] = ITEMS, ENDED

    ran = yurt("call", "text:words", "--output", tmp_path / "out")

    assert (ran.code, ran.out, ran.err) == (0, "", f"wrote {tmp_path}/out\n")
    assert lines_of((tmp_path / "out").read_text()) == ITEMS


def test_items_before_a_failure_are_printed(api: FakeApi, yurt: Yurt) -> None:
    api.items["text:words"] = [1]
    error = {"outcome": "user_error", "type": "ValueError", "message": "no"}
    api.endings["text:words"] = {"status": "failure", "num_items": 1, "error": error}

    ran = yurt("call", "text:words")

    assert (ran.code, ran.out) == (1, "1\n")
    assert "ValueError: no" in ran.err


def test_a_failed_call_shows_its_traceback_and_hint(api: FakeApi, yurt: Yurt) -> None:
    api.endings["thumbs:resize"] = {
        "status": "failure",
        "error": {
            "outcome": "user_error",
            "type": "ValueError",
            "message": "width must be positive, got -3",
            "traceback": 'Traceback (most recent call last):\n  File "main.py", line 12, in resize\n',
            "hint": "The function raised.",
        },
    }

    ran = yurt("call", "thumbs:resize", "width=-3")

    assert (ran.code, ran.out) == (1, "")
    assert 'File "main.py", line 12, in resize' in ran.err
    assert (
        "Error: fc-1 ended as user_error: ValueError: width must be positive, got -3\nThe function raised.\n" in ran.err
    )


def test_an_end_by_yurt_itself_is_named_once(api: FakeApi, yurt: Yurt) -> None:
    error = {"outcome": "crashed", "type": "Crashed", "message": "The process exited with code 3."}
    api.endings["thumbs:resize"] = {"status": "failure", "error": error}

    assert yurt("call", "thumbs:resize").err == "Error: fc-1 ended as crashed: The process exited with code 3.\n"


def test_a_failed_call_is_whole_in_json(api: FakeApi, yurt: Yurt) -> None:
    api.endings["thumbs:resize"] = {"status": "failure", "error": {"outcome": "crashed", "signal": "SIGSEGV"}}

    ran = yurt("call", "thumbs:resize", "--json")

    assert ran.code == 1
    assert json.loads(ran.out)["error"] == {"outcome": "crashed", "signal": "SIGSEGV"}


def test_bytes_go_in_from_a_file_and_out_to_a_file(api: FakeApi, yurt: Yurt, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(b"\x89PNG")
    api.endings["thumbs:resize"] = {"status": "success", "result": {"$bytes": "iVBORw=="}}

    ran = yurt("call", "thumbs:resize", f"image=@{tmp_path}/in.png", "--output", tmp_path / "out.png")

    assert (ran.code, ran.out) == (0, "")
    assert api.bodies == [{"args": [], "kwargs": {"image": {"$bytes": "iVBORw=="}}}]
    assert (tmp_path / "out.png").read_bytes() == b"\x89PNG"


@pytest.mark.parametrize("place", ["none/out.png", ""])
def test_a_result_that_could_not_be_written_is_refused_before_the_call(
    api: FakeApi, yurt: Yurt, tmp_path: Path, place: str
) -> None:
    ran = yurt("call", "thumbs:resize", "--output", tmp_path / place)

    assert ran.code == 2
    assert str(tmp_path) in ran.err
    assert api.requests == []


def test_a_result_that_cannot_be_written_is_still_to_be_had(api: FakeApi, yurt: Yurt) -> None:
    ran = yurt("call", "thumbs:resize", "--output", "/dev/full")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "Error: /dev/full cannot be written: No space left on device\nThe result is kept: yurt get fc-1 --output FILE\n"
    )


def test_the_results_of_a_map_are_got_line_by_line(api: FakeApi, yurt: Yurt, tmp_path: Path) -> None:
    api.calls["fc-1"] = {"call_id": "fc-1", "kind": "map", "status": "success", "num_inputs": 3}
    api.ended["fc-1"] = [
        {"index": 0, "status": "success", "result": {"a": 1}},
        {"index": 1, "status": "failure", "error": {"type": "ValueError", "message": "no"}},
        {"index": 2, "status": "success", "result": None},
    ]

    shown, saved = yurt("get", "fc-1"), yurt("get", "fc-1", "--output", tmp_path / "out")

    assert (shown.code, shown.out, shown.err) == (0, '{"a":1}\nnull\n', "input 1: ValueError: no\n")
    assert (tmp_path / "out").read_text() == shown.out
    assert (saved.out, saved.err) == ("", f"{shown.err}wrote {tmp_path}/out\n")
    assert json.loads(yurt("get", "fc-1", "--json").out)["num_inputs"] == 3


def test_a_result_that_the_token_may_not_see_is_not_taken_for_null(api: FakeApi, yurt: Yurt, tmp_path: Path) -> None:
    api.calls["fc-1"] = {"call_id": "fc-1", "kind": "spawn", "status": "success"}

    for flags in ((), ("--output", tmp_path / "out")):
        ran = yurt("get", "fc-1", *flags)

        assert (ran.code, ran.out) == (4, "")
        assert ran.err.startswith("Error: fc-1 has succeeded, and this token may not see its result\n")
    assert yurt("get", "fc-1", "--json").code == 0


def test_words_after_a_double_dash_are_taken_as_they_are(api: FakeApi, yurt: Yurt) -> None:
    ran = yurt("call", "text:stats", "--", "a=b", "@file", "--json", "7")

    assert json.loads(ran.out) == {"args": ["a=b", "@file", "--json", 7], "kwargs": {}}


def test_a_misspelt_option_is_not_taken_for_an_argument(api: FakeApi, yurt: Yurt) -> None:
    ran = yurt("call", "text:stats", "--ouput", "x")

    assert ran.code == 2
    assert "--output" in ran.err
    assert api.requests == []


def test_an_unknown_function_is_not_found(api: FakeApi, yurt: Yurt) -> None:
    ran = yurt("call", "thumbs:missing")

    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "Error: There is no function thumbs:missing.\n"


def test_the_environment_goes_with_names(api: FakeApi, yurt: Yurt) -> None:
    yurt("call", "-e", "staging", "thumbs:resize")
    yurt("get", "-e", "staging", "fc-1")

    assert [query for _, _, query in api.requests] == [{"environment": "staging"}, {}, {}]


def test_spawn_prints_the_id_and_get_the_result(api: FakeApi, yurt: Yurt) -> None:
    spawned = yurt("spawn", "thumbs:resize", "width=1")
    got = yurt("get", "fc-1")

    assert (spawned.code, spawned.out, spawned.err) == (0, "fc-1\n", "")
    assert json.loads(got.out) == {"args": [], "kwargs": {"width": 1}}


def test_get_says_that_a_call_is_still_running(api: FakeApi, yurt: Yurt) -> None:
    api.endings["thumbs:resize"] = {"status": "running"}
    yurt("spawn", "thumbs:resize")

    ran = yurt("get", "fc-1")

    assert ran.err == "Error: fc-1 is still running\nWait for it: yurt get fc-1 --wait 60\n"


def test_get_says_that_a_call_is_still_pending(api: FakeApi, yurt: Yurt) -> None:
    api.endings["thumbs:resize"] = {"status": "pending"}
    yurt("spawn", "thumbs:resize")

    ran = yurt("get", "fc-1", "--wait", "90")

    assert (ran.code, ran.out) == (6, "")
    assert "fc-1 is still pending: A container is starting." in ran.err
    assert [query.get("wait") for method, _, query in api.requests if method == "GET"] == ["60", "30"]


def test_get_of_an_unknown_call_is_not_found(api: FakeApi, yurt: Yurt) -> None:
    assert yurt("get", "fc-9").code == 3


def test_cancel_twice_is_fine_and_after_the_end_is_not(api: FakeApi, yurt: Yurt) -> None:
    api.endings["slow:one"] = {"status": "pending"}
    yurt("spawn", "slow:one")
    yurt("spawn", "quick:one")

    assert [yurt("cancel", "fc-1").code for _ in range(2)] == [0, 0]
    ended = yurt("cancel", "fc-2")

    assert ended.code == 1
    assert "The call has ended: success." in ended.err


@pytest.mark.parametrize("command", ["call", "spawn"])
def test_a_missing_file_is_wrong_usage(api: FakeApi, yurt: Yurt, command: str) -> None:
    ran = yurt(command, "thumbs:resize", "@no-such.png")

    assert ran.code == 2
    assert "no-such.png cannot be read: No such file or directory" in ran.err
    assert api.requests == []
