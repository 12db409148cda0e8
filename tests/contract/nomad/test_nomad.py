"""What Yurt relies on in Nomad's API, and what its double promises in its place."""

import asyncio
import base64
import json
import time

import pytest

from tests.contract.nomad.worlds import World, ended, gpu, job, killed, quoted, running

SILENCE_S = 1.5


async def test_a_parameterized_job_is_registered_and_starts_nothing(world: World) -> None:
    name = world.new_name()
    made = await world.ask("POST", "/v1/jobs", {"Job": job(name, "sleep")})
    assert made["EvalID"] == ""
    (listed,) = await world.ask("GET", f"/v1/jobs?prefix={name}&meta=true")
    assert listed["ParameterizedJob"] is True
    assert listed["Status"] == "running"
    assert listed["Meta"] == {"yurt": "yes"}
    assert listed["JobModifyIndex"] == made["JobModifyIndex"]
    assert await world.ask("GET", f"/v1/job/{name}/allocations") == []


async def test_a_job_that_is_registered_again_is_a_new_version_of_it(world: World) -> None:
    name = await world.register()
    before = await world.ask("GET", f"/v1/job/{name}")
    await world.ask("POST", "/v1/jobs", {"Job": job(name, "sleep", Meta={"yurt": "changed"})})
    after = await world.ask("GET", f"/v1/job/{name}")
    assert (before["Version"], after["Version"]) == (0, 1)
    assert after["CreateIndex"] == before["CreateIndex"] < after["JobModifyIndex"]
    assert after["Meta"] == {"yurt": "changed"}


async def test_a_dispatch_is_a_child_that_runs(world: World) -> None:
    name = await world.register()
    child = await world.dispatch(name, container_id="c-7")
    assert child.startswith(f"{name}/dispatch-")
    found = await world.ask("GET", f"/v1/job/{quoted(child)}")
    assert found["ParentID"] == name
    assert found["Dispatched"] is True
    assert found["Meta"] == {"yurt": "yes", "container_id": "c-7"}
    allocation = await world.allocation(child, running)
    assert (allocation["JobID"], allocation["DesiredStatus"]) == (child, "run")
    assert allocation["TaskStates"]["main"]["State"] == "running"
    whole = await world.ask("GET", f"/v1/allocation/{allocation['ID']}")
    assert whole["Job"]["Meta"]["container_id"] == "c-7"
    listed = {each["ID"]: each for each in await world.ask("GET", f"/v1/jobs?prefix={name}/&meta=true")}
    assert listed[child]["ParameterizedJob"] is False
    assert listed[child]["Meta"]["container_id"] == "c-7"


async def test_a_dispatch_with_the_same_token_is_the_same_child(world: World) -> None:
    name = await world.register()
    path, body = f"/v1/job/{name}/dispatch?idempotency_token=once-{name}", {"Meta": {"container_id": "c"}}
    first, second = await world.ask("POST", path, body), await world.ask("POST", path, body)
    assert first["DispatchedJobID"] == second["DispatchedJobID"]
    assert first["EvalID"]
    assert second["EvalID"] == ""
    assert len(await world.ask("GET", f"/v1/jobs?prefix={name}/")) == 1


async def test_children_go_on_without_their_parent(world: World) -> None:
    name = await world.register()
    child = await world.dispatch(name)
    allocation = await world.allocation(child, running)
    await world.ask("DELETE", f"/v1/job/{name}?purge=true")
    assert (await world.call("GET", f"/v1/job/{name}")).status == 404
    assert (await world.ask("GET", f"/v1/allocation/{allocation['ID']}"))["DesiredStatus"] == "run"


async def test_what_is_stopped_is_complete_whatever_its_exit_code(world: World) -> None:
    child = await world.dispatch(await world.register())
    await world.allocation(child, running)
    stopped = await world.ask("DELETE", f"/v1/job/{quoted(child)}")
    assert stopped["EvalID"]
    allocation = await world.allocation(child, killed)
    assert (allocation["DesiredStatus"], allocation["ClientStatus"]) == ("stop", "complete")
    state = allocation["TaskStates"]["main"]
    assert state["Failed"] is False
    events = {event["Type"]: event["Details"] for event in state["Events"]}
    assert events["Terminated"] == {"exit_code": "130", "signal": "2", "oom_killed": "false"}
    found = await world.ask("GET", f"/v1/job/{quoted(child)}")
    assert found["Stop"] is True


@pytest.mark.parametrize(("code", "status"), [(0, "complete"), (3, "failed")])
async def test_what_ends_by_itself_says_with_what(world: World, code: int, status: str) -> None:
    child = await world.dispatch(await world.register("/bin/sh", "-c", f"exit {code}"))
    allocation = await world.allocation(child, ended)
    assert (allocation["DesiredStatus"], allocation["ClientStatus"]) == ("run", status)
    state = allocation["TaskStates"]["main"]
    assert state["Failed"] is (code != 0)
    (terminated,) = [event for event in state["Events"] if event["Type"] == "Terminated"]
    assert terminated["Details"]["exit_code"] == str(code)


async def test_what_cannot_start_says_why_and_has_no_exit_code(world: World) -> None:
    child = await world.dispatch(await world.register("/no/such/program"))
    allocation = await world.allocation(child, ended)
    assert allocation["ClientStatus"] == "failed"
    events = {event["Type"]: event["Details"] for event in allocation["TaskStates"]["main"]["Events"]}
    assert "/no/such/program" in events["Driver Failure"]["driver_error"]
    assert "Terminated" not in events


async def test_a_purge_takes_job_and_allocation_away_at_once(world: World) -> None:
    child = await world.dispatch(await world.register())
    allocation = await world.allocation(child, running)
    await world.ask("DELETE", f"/v1/job/{quoted(child)}?purge=true")
    gone = await world.call("GET", f"/v1/allocation/{allocation['ID']}")
    assert (gone.status, gone.text) == (404, "alloc not found")
    gone = await world.call("GET", f"/v1/job/{quoted(child)}")
    assert (gone.status, gone.text) == (404, "job not found")


async def test_what_is_not_there_is_stopped_without_a_word(world: World) -> None:
    stopped = await world.ask("DELETE", "/v1/job/never-was")
    assert stopped["EvalID"] == ""


async def test_wrong_dispatches_are_refused_by_their_reason(world: World) -> None:
    name = await world.register()
    stopped = await world.register()
    await world.ask("DELETE", f"/v1/job/{stopped}")
    child = await world.dispatch(name)
    for parent, meta, said in [
        ("never-was", {"container_id": "c"}, "parameterized job not found"),
        (stopped, {"container_id": "c"}, f'Specified job "{stopped}" is stopped'),
        (name, {"container_id": "c", "zz": "1"}, "Dispatch request included unpermitted metadata keys: [zz]"),
        (name, {}, "Dispatch did not provide required meta keys: [container_id]"),
    ]:
        answer = await world.call("POST", f"/v1/job/{parent}/dispatch", {"Meta": meta})
        assert (answer.status, answer.text) == (500, said)
    assert (await world.call("POST", f"/v1/job/{quoted(child)}/dispatch", {"Meta": {}})).status == 500


async def test_what_makes_no_sense_is_listed(world: World) -> None:
    name = world.new_name()
    for keys, said in [({"NodePool": "nowhere"}, "nonexistent node pool"), ({"Namespace": "nowhere"}, "nowhere")]:
        answer = await world.call("POST", "/v1/jobs", {"Job": job(name, "sleep", **keys)})
        assert answer.status >= 400
        assert said in answer.text or answer.status == 403


async def test_gpus_that_no_node_has_are_missing(world: World) -> None:
    for resources in (gpu("^NVIDIA B200$"), gpu("^NVIDIA H100( 80GB HBM3)?$", count=3)):
        planned = await world.ask("POST", "/v1/job/x/plan", {"Job": job("x", "sleep", resources=resources)})
        assert planned["FailedTGAllocs"]["container"]["ConstraintFiltered"] == {"missing devices": 2}
        assert planned["FailedTGAllocs"]["container"]["DimensionExhausted"] is None


async def test_gpus_that_others_have_are_exhausted_until_they_are_given_back(world: World) -> None:
    name = await world.register(resources=gpu("^NVIDIA L4$"))
    holder = await world.dispatch(name)
    allocation = await world.allocation(holder, running)
    assert allocation["NodeName"] == "node-2"
    whole = await world.ask("GET", f"/v1/allocation/{allocation['ID']}")
    (device,) = whole["AllocatedResources"]["Tasks"]["main"]["Devices"]
    assert (device["Name"], len(device["DeviceIDs"])) == ("NVIDIA L4", 1)

    made = await world.ask("POST", f"/v1/job/{name}/dispatch", {"Meta": {"container_id": "c"}})
    waiting = made["DispatchedJobID"]
    async with asyncio.timeout(30):
        while not (evaluation := await world.ask("GET", f"/v1/evaluation/{made['EvalID']}")).get("FailedTGAllocs"):
            await asyncio.sleep(0.02)
    refused = evaluation["FailedTGAllocs"]["container"]
    assert refused["DimensionExhausted"] == {"devices: no devices match request": 1}
    assert refused["ConstraintFiltered"] == {"missing devices": 1}
    assert (evaluation["Status"], evaluation["QueuedAllocations"]) == ("complete", {"container": 1})
    listed = await world.ask("GET", f"/v1/job/{quoted(waiting)}/evaluations")
    assert "blocked" in {each["Status"] for each in listed}
    assert (await world.ask("GET", f"/v1/job/{quoted(waiting)}"))["Status"] == "pending"

    await world.ask("DELETE", f"/v1/job/{quoted(holder)}")
    assert (await world.allocation(waiting, running))["NodeName"] == "node-2"


async def test_a_plan_of_what_fits_refuses_nothing(world: World) -> None:
    fits = job("x", "sleep", resources=gpu("^Tesla T4$", count=2))
    assert not (await world.ask("POST", "/v1/job/x/plan", {"Job": fits}))["FailedTGAllocs"]
    assert (await world.call("GET", "/v1/job/x")).status == 404


async def test_nodes_say_what_they_have(world: World) -> None:
    nodes = {node["Name"]: node for node in await world.ask("GET", "/v1/nodes?resources=true")}
    assert {node["Status"] for node in nodes.values()} == {"ready"}
    assert nodes["node-1"]["Drivers"]["raw_exec"]["Healthy"] is True
    devices = {device["Name"]: device for device in nodes["node-1"]["NodeResources"]["Devices"]}
    assert {name: len(device["Instances"]) for name, device in devices.items()} == {
        "NVIDIA H100 80GB HBM3": 2,
        "Tesla T4": 2,
    }
    assert devices["Tesla T4"]["Attributes"]["memory"]["Int"] == 15360
    whole = await world.ask("GET", f"/v1/node/{nodes['node-2']['ID']}")
    assert (whole["Name"], whole["SchedulingEligibility"], whole["DrainStrategy"]) == ("node-2", "eligible", None)


async def test_a_question_with_an_index_is_answered_at_the_next_change(world: World) -> None:
    name = await world.register()
    known = await world.call("GET", "/v1/allocations")
    waiting = asyncio.create_task(world.call("GET", f"/v1/allocations?index={known.index}&wait=60s"))
    child = await world.dispatch(name)
    changed = await waiting
    assert changed.index > known.index
    assert child in {allocation["JobID"] for allocation in changed.json}


async def test_a_question_with_an_index_is_answered_after_its_time(world: World) -> None:
    known = await world.call("GET", "/v1/jobs")
    began = time.monotonic()
    same = await world.call("GET", f"/v1/jobs?index={known.index}&wait=300ms")
    assert time.monotonic() - began >= 0.3
    assert same.index == known.index


async def test_a_stream_begins_with_an_empty_frame_and_then_tells_all_that_happens(world: World) -> None:
    name = await world.register()
    known = await world.call("GET", f"/v1/jobs?prefix={name}")
    frames = world.frames("Allocation:*", "Evaluation:*", "Job:*", index=known.index)
    assert await anext(frames) == {}
    child = await world.dispatch(name)
    told = set()
    last = 0
    async with asyncio.timeout(60):
        async for frame in frames:
            for event in frame.get("Events") or []:
                assert event["Index"] >= last
                last = event["Index"]
                payload = event["Payload"].get(event["Topic"])
                if payload and child in {payload.get("JobID"), payload.get("ID")}:
                    told.add((event["Topic"], event["Type"], payload.get("ClientStatus")))
            if ("Allocation", "AllocationUpdated", "running") in told:
                break
    await frames.aclose()
    assert ("Job", "JobRegistered", None) in told
    assert ("Allocation", "PlanResult", "pending") in told
    assert "Evaluation" in {topic for topic, _, _ in told}


async def test_a_stream_goes_on_from_where_a_list_was_made(world: World) -> None:
    name = await world.register()
    known = await world.call("GET", f"/v1/jobs?prefix={name}")
    child = await world.dispatch(name)
    await world.allocation(child, running)
    frames = world.frames("Job:*", index=known.index)
    heard = set()
    async with asyncio.timeout(30):
        async for frame in frames:
            heard |= {event["Key"] for event in frame.get("Events") or []}
            if child in heard:
                break
    await frames.aclose()


async def test_a_stream_that_one_may_not_have_says_nothing_at_all(world: World) -> None:
    frames = world.frames("Allocation:*", index=1, token=world.powerless)
    with pytest.raises((TimeoutError, StopAsyncIteration)):
        async with asyncio.timeout(SILENCE_S):
            await anext(frames)
    await frames.aclose()


async def test_allocations_are_found_by_the_beginning_of_their_jobs_name(world: World) -> None:
    mine, other = await world.register(), await world.register()
    child = await world.dispatch(mine)
    await world.dispatch(other)
    await world.allocation(child, running)
    expression = quoted(f'JobID matches "^{mine}"')
    found = await world.ask("GET", f"/v1/allocations?filter={expression}&task_states=true")
    assert [each["JobID"] for each in found] == [child]
    assert found[0]["TaskStates"] is not None


async def test_what_a_task_writes_can_be_read_once_it_has_started(world: World) -> None:
    child = await world.dispatch(await world.register("/bin/sh", "-c", "echo hello; exec sleep 600"))
    allocation = await world.allocation(child, running)
    path = f"/v1/client/fs/logs/{allocation['ID']}?task=main&type=stdout&origin=end&offset=4096&plain=true"
    async with asyncio.timeout(30):
        while (await world.call("GET", path)).text != "hello\n":
            await asyncio.sleep(0.05)
    refused = await world.dispatch(await world.register("/no/such/program"))
    allocation = await world.allocation(refused, ended)
    path = f"/v1/client/fs/logs/{allocation['ID']}?task=main&type=stdout&plain=true"
    answer = await world.call("GET", path)
    assert answer.status == 404
    assert "not started yet" in answer.text


async def test_servers_say_their_version(world: World) -> None:
    (member,) = (await world.ask("GET", "/v1/agent/members"))["Members"]
    assert member["Tags"]["build"].count(".") == 2


async def test_one_s_own_token_is_known_and_a_foreign_one_is_not(world: World) -> None:
    assert (await world.ask("GET", "/v1/acl/token/self"))["Policies"] == ["yurt"]
    foreign = await world.call("GET", "/v1/acl/token/self", token="00000000-0000-4000-8000-000000000000")
    assert (foreign.status, foreign.text) == (403, "Permission denied")
    nobody = await world.call("GET", "/v1/acl/token/self", token="")
    assert nobody.json["Policies"] == ["anonymous"]


async def test_without_the_right_everything_is_refused(world: World) -> None:
    child = await world.dispatch(await world.register())
    allocation = await world.allocation(child)
    for token in (world.powerless, "", "00000000-0000-4000-8000-000000000000"):
        for method, path in [("GET", "/v1/nodes"), ("GET", f"/v1/job/{quoted(child)}"), ("DELETE", "/v1/job/x")]:
            answer = await world.call(method, path, token=token)
            assert (answer.status, answer.text) == (403, "Permission denied")
    unknown = await world.call("GET", f"/v1/allocation/{allocation['ID']}", token=world.powerless)
    assert (unknown.status, unknown.text) == (500, f'Unknown allocation "{allocation["ID"]}"')
    assert (await world.call("GET", "/v1/agent/self")).status == 403


async def test_the_keys_of_workload_identities_need_no_token(world: World) -> None:
    answer = await world.call("GET", "/.well-known/jwks.json", token="")
    (key,) = answer.json["keys"]
    assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")
    assert key["kid"]
    assert len(base64.urlsafe_b64decode(key["n"] + "==")) == 256


async def test_the_leader_is_known(world: World) -> None:
    assert json.loads((await world.call("GET", "/v1/status/leader", token="")).text).startswith("127.0.0.1:")


async def test_what_is_not_there_is_not_found(world: World) -> None:
    nothing = "00000000-0000-4000-8000-000000000000"
    for path, said in [("allocation", "alloc not found"), ("evaluation", "eval not found"), ("job", "job not found")]:
        answer = await world.call("GET", f"/v1/{path}/{nothing}")
        assert (answer.status, answer.text) == (404, said)
