"""Calls of several inputs: taken as they come, answered as they end."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.served import Answer, Served, serving

SOURCE = """
import os, time

def double(n):
    return 2 * n

def fussy(n):
    if n == 3:
        raise ValueError("three")
    return n

def overtaken(n, place):
    if n:
        open(os.path.join(place, str(n)), "w").close()
        return n
    while len(os.listdir(place)) < 3:  # the last begins when its container has told how the two before it ended
        time.sleep(0.01)
    return n

def slow(n):
    time.sleep(0.3 if n % 2 == 0 else 0)
    return n

def sleep(n):
    time.sleep(60)
"""
NDJSON = {"Content-Type": "application/x-ndjson"}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(server: Served) -> Served:
    await server.deploy("demo", SOURCE, "double", "fussy", "overtaken", "sleep", max_containers=2)
    return server


def lines(answer: Answer) -> list[Any]:
    return [json.loads(line) for line in answer.text.splitlines() if line]


async def post(served: Served, name: str, body: bytes, query: str = "", **headers: str) -> Answer:
    return await served.ask("POST", f"/v1/functions/demo:{name}/map{query}", data=body, headers={**NDJSON, **headers})


def inputs(count: int) -> bytes:
    return b"".join(b'{"args":[%d]}\n' % n for n in range(count))


async def test_results_come_in_the_order_of_the_inputs(served: Served) -> None:
    answer = await post(served, "double", inputs(3000))
    assert answer.status == 200, answer.text
    assert lines(answer) == [{"index": n, "status": "success", "result": 2 * n} for n in range(3000)]
    call = (await served.ask("GET", answer.headers["Content-Location"] + "?wait=10")).json
    assert (call["kind"], call["status"], call["num_inputs"]) == ("map", "success", 3000)
    assert call["counts"] == {"pending": 0, "running": 0, "success": 3000, "failure": 0, "terminated": 0}
    assert "result" not in call


async def test_a_json_list_is_taken_too(served: Served) -> None:
    body = {"inputs": [{"args": [n]} for n in range(5)]}
    answer = await served.ask("POST", "/v1/functions/demo:double/map?summary=true", body)
    *results, summary = lines(answer)
    assert [row["result"] for row in results] == [0, 2, 4, 6, 8]
    assert summary["summary"]["counts"]["success"] == 5
    wrong = await served.ask("POST", "/v1/functions/demo:double/map", {"inputs": [{}, {"args": 1}]})
    assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (422, "/inputs/1/args")
    none = await served.ask("POST", "/v1/functions/demo:double/map?summary=true", {"inputs": []})
    assert lines(none)[0]["summary"]["status"] == "success"


async def test_results_come_as_they_end(served: Served, tmp_path: Path) -> None:
    body = {"inputs": [{"args": [n, str(tmp_path)]} for n in range(4)]}
    found = lines(await served.ask("POST", "/v1/functions/demo:overtaken/map?order_outputs=false", body))
    assert sorted(row["result"] for row in found) == [0, 1, 2, 3]
    assert found[0]["index"] != 0


async def test_the_first_failure_ends_the_answer_and_the_rest(served: Served) -> None:
    answer = await post(served, "fussy", inputs(5000))
    found = lines(answer)
    assert (found[-1]["index"], found[-1]["status"]) == (3, "failure")
    assert found[-1]["error"]["index"] == 3
    call = (await served.ask("GET", answer.headers["Content-Location"] + "?wait=20")).json
    assert (call["status"], call["error"]["message"]) == ("failure", "three")
    counts = call["counts"]
    assert counts["failure"] == 1
    assert counts["success"] + 1 + counts["terminated"] == call["num_inputs"]


async def test_errors_can_stand_in_their_lines(served: Served) -> None:
    answer = await post(served, "fussy", inputs(6), "?return_exceptions=true&summary=true")
    *found, summary = lines(answer)
    assert [row["status"] for row in found] == ["success"] * 3 + ["failure"] + ["success"] * 2
    assert summary["summary"]["status"] == "success"
    assert summary["summary"]["counts"]["failure"] == 1


async def test_a_bad_line_is_named_and_what_was_before_it_runs(served: Served) -> None:
    answer = await post(served, "double", inputs(2) + b"not json\n" + inputs(2))
    *found, last = lines(answer)
    assert [row["result"] for row in found] == [0, 2]
    assert last["input_truncated"]
    assert "Line 3" in last["input_error"]
    first = await post(served, "double", b'{"args": 5}\n')
    assert first.status == 422
    assert "Line 1" in first.json["detail"]


async def test_the_answer_can_be_left_for_later(served: Served) -> None:
    answer = await post(served, "double", inputs(250), Prefer="respond-async")
    assert (answer.status, answer.json["num_inputs"]) == (202, 250)
    path, found, query = answer.headers["Location"], [], "limit=100&wait=10"
    while query:
        page = (await served.ask("GET", f"{path}/outputs?{query}")).json
        found += [row["result"] for row in page["data"]]
        query = f"cursor={page['next_cursor']}&wait=10" if "next_cursor" in page else ""
    assert found == [2 * n for n in range(250)]
    page = (await served.ask("GET", f"{path}/outputs?index=248")).json
    assert [row["index"] for row in page["data"]] == [248, 249]
    listed = await served.ask("GET", "/v1/function-calls?kind=map&limit=1")
    assert listed.json["data"][0]["num_inputs"] == 250


async def test_a_whole_map_is_cancelled(served: Served) -> None:
    answer = await post(served, "sleep", inputs(2000), Prefer="respond-async")
    path = answer.headers["Location"]
    cancelled = (await served.ask("POST", f"{path}/cancel")).json
    assert (cancelled["status"], cancelled["counts"]["terminated"]) == ("terminated", 2000)


async def test_a_restart_goes_on_counting(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.deploy("demo", SOURCE, "slow", max_containers=1)
        answer = await post(served, "slow", inputs(20), Prefer="respond-async")
        path = answer.headers["Location"]
        await served.ask("GET", f"{path}/outputs?index=3&wait=20")
        await served.kill()
        await served.start()
        async with asyncio.timeout(60):
            while (call := (await served.ask("GET", f"{path}?wait=20")).json)["status"] != "success":
                assert call["status"] in {"pending", "running"}
        assert call["counts"]["success"] == call["num_inputs"] == 20
        page = (await served.ask("GET", f"{path}/outputs")).json
        assert [row["result"] for row in page["data"]] == list(range(20))


async def test_a_key_finds_the_first_map(served: Served) -> None:
    key = {"Idempotency-Key": "the-same"}
    first = await post(served, "double", inputs(600), **key)
    again = await post(served, "double", inputs(600), "?order_outputs=false", **key)
    other = await post(served, "double", inputs(601), **key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Yurt-Call-Id"] == first.headers["Yurt-Call-Id"]
    assert lines(again) == lines(first)
    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")


async def test_two_requests_with_one_key_make_one_map(served: Served) -> None:
    answers = await asyncio.gather(*(post(served, "double", inputs(50), **{"Idempotency-Key": "k2"}) for _ in range(3)))
    assert len({answer.headers["Yurt-Call-Id"] for answer in answers}) == 1
    assert all(len(lines(answer)) == 50 for answer in answers)


async def test_a_map_has_labels_and_a_priority(served: Served) -> None:
    answer = await post(served, "double", inputs(2), "?metadata.job=a&priority=3&summary=true")
    summary = lines(answer)[-1]["summary"]
    assert (summary["metadata"], summary["priority"]) == ({"job": "a"}, 3)
    bad = await post(served, "double", inputs(2), "?callback_url=ftp://x")
    assert (bad.status, bad.json["errors"][0]["pointer"]) == (422, "?callback_url")
