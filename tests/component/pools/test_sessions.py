"""Who may speak for a container, and what is made of nonsense."""

import json

import pytest

from tests.component.pools.rig import Rig, Talk
from yurt.domain.errors import Unauthenticated, Unavailable
from yurt.pools.sessions import SessionRefused
from yurt_runner import wire


async def test_a_container_needs_its_own_credential(rig: Rig) -> None:
    await rig.deploy(min_containers=2)
    await rig.scale()
    one, two = rig.engine.started
    with pytest.raises(Unauthenticated):
        await rig.sessions.authenticate(one.container_id, two.start_token)
    with pytest.raises(Unauthenticated):
        await rig.sessions.authenticate("co-unknown", one.start_token)
    with pytest.raises(Unauthenticated):
        await rig.sessions.authenticate(one.container_id, "")


async def test_the_start_token_serves_one_instance(rig: Rig) -> None:
    await rig.deploy(min_containers=1)
    await rig.scale()
    spec = rig.engine.started[0]
    await rig.greet(spec.container_id, spec.start_token, "instance-number-one")
    with pytest.raises(SessionRefused, match="Another instance"):
        await rig.greet(spec.container_id, spec.start_token, "instance-number-two")


async def test_the_start_token_dies_with_the_first_use_of_the_next(rig: Rig) -> None:
    await rig.deploy(min_containers=1)
    await rig.scale()
    box = await rig.boot()
    await box.reconnect()
    with pytest.raises(Unauthenticated):
        await rig.sessions.authenticate(box.member.id, box.credential)


class Vouchers:
    """Identities by the book: a credential for each container."""

    def __init__(self, **known: str) -> None:
        self.known = known
        self.away = False

    async def vouch(self, container_id: str, credential: str) -> None:
        if self.away:
            raise Unavailable("Nobody can be asked.")
        if self.known.get(container_id.replace("-", "_")) != credential:
            raise Unauthenticated("Not this one's.")


async def test_a_credential_of_the_engine_serves_until_the_next_one_is_used(rig: Rig) -> None:
    await rig.deploy(min_containers=2)
    await rig.scale()
    mine, other = (spec.container_id for spec in rig.engine.started)
    rig.sessions._identities = vouchers = Vouchers(**{mine.replace("-", "_"): "passport"})
    with pytest.raises(Unauthenticated):
        await rig.greet(other, "passport", "instance-number-two")
    vouchers.away = True
    with pytest.raises(Unavailable):
        await rig.greet(mine, "passport", "instance-number-one")
    vouchers.away = False
    talk = await rig.greet(mine, "passport", "instance-number-one")
    (welcome,) = talk.of(wire.WELCOME)
    again = await rig.greet(mine, welcome.header()["reconnect_token"], "instance-number-one")
    assert again.of(wire.WELCOME)
    with pytest.raises(Unauthenticated):
        await rig.greet(mine, "passport", "instance-number-one")


async def test_containers_left_alone_are_not_told_to_end(rig: Rig) -> None:
    rig.lives.leave_alone(["co-of-another-copy"])
    with pytest.raises(Unavailable):
        await rig.sessions.authenticate("co-of-another-copy", "anything")


async def test_the_same_instance_replaces_its_own_connection(rig: Rig) -> None:
    await rig.deploy(min_containers=1)
    await rig.scale()
    box = await rig.boot()
    await box.reconnect()
    assert box.talk.closed == "replaced"


@pytest.mark.parametrize(
    "said",
    [
        {"protocol": "yurt.9", "instance": "x" * 20},
        {"protocol": wire.PROTOCOL},
        {"protocol": wire.PROTOCOL, "instance": 5},
        {"protocol": wire.PROTOCOL, "instance": "short"},
    ],
)
async def test_a_hello_that_makes_no_sense_is_refused(rig: Rig, said: dict[str, object]) -> None:
    await rig.deploy(min_containers=1)
    await rig.scale()
    spec = rig.engine.started[0]
    pool, member = await rig.sessions.authenticate(spec.container_id, spec.start_token)
    with pytest.raises(SessionRefused):
        await rig.sessions.hello(pool, member, said, Talk(), spec.start_token)


async def test_frames_that_make_no_sense_change_nothing(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    box.say(wire.STARTED, 1, 1, for_s=0.1)
    box.say(wire.RETURN, item.seq, 99)
    box.say(wire.LOG, payload=b"[[1]]")
    box.say(wire.BEAT, rss_mib="lots", cpu_s=-1)
    box.say(wire.FAILED, payload=b"{}", outcome="init_failure")
    box.say(250)
    raw = wire.pack(wire.OUTPUT, item.seq, item.token, b"null", meta=b"not json", flags=0)
    rig.sessions.frames(box.pool, box.member, wire.unpack(raw))
    assert (await rig.result(item)).outcome == "success"


async def test_an_unknown_outcome_is_an_internal_error(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    box.say(wire.OUTPUT, item.seq, item.token, b"{}", flags=77)
    assert (await rig.result(item)).outcome == "internal_error"


async def test_log_lines_are_kept_with_their_input(rig: Rig) -> None:
    await rig.deploy()
    item = await rig.call()
    box = await rig.container()
    lines = [[0.5, "stdout", item.seq, item.token, "hello"], [0.1, "stdout", 0, 0, "boot"], [0, "pipe", 0, 0, "odd"]]
    box.say(wire.LOG, payload=json.dumps(lines).encode(), dropped=3)
    first, second, third, dropped = rig.logs.lines
    assert (first.text, first.seq, first.number, first.time) == ("hello", item.seq, 1, rig.clock.now() - 0.5)
    assert (second.seq, second.number) == (0, 0)
    assert third.stream == "system"
    assert "3 lines were dropped" in dropped.text


async def test_the_welcome_tells_the_container_what_it_runs(rig: Rig) -> None:
    await rig.deploy(min_containers=1, env={"LEVEL": "info"}, timeout_s=7, memory_mib=64)
    await rig.scale()
    box = await rig.boot()
    said = json.loads(box.talk.of(wire.WELCOME)[0].meta)
    assert said["entrypoint"] == "main:work"
    assert (said["timeout_s"], said["memory_mib"], said["env"]) == (7, 64, {"LEVEL": "info"})
    assert said["reconnect_token"] != box.credential
    assert said["gpu"] is False


async def test_the_welcome_says_that_there_are_gpus(rig: Rig) -> None:
    await rig.deploy(min_containers=1, gpu=("T4",))
    await rig.scale()
    assert json.loads((await rig.boot()).talk.of(wire.WELCOME)[0].meta)["gpu"] is True


async def test_why_a_container_could_not_start_stands_in_its_log(rig: Rig) -> None:
    await rig.deploy()
    await rig.call()
    await rig.scale()
    box = await rig.boot(ready=False)
    error = {"type": "ImportError", "message": "no such thing", "traceback": "File main.py\n  line 1"}
    box.say(wire.FAILED, payload=json.dumps(error).encode(), outcome="init_failure")
    texts = [line.text for line in rig.logs.lines if line.stream == "system"]
    assert texts == ["The container could not start: ImportError: no such thing", "File main.py", "  line 1"]


async def test_secrets_are_sent_only_to_a_worker_that_starts(rig: Rig) -> None:
    await rig.deploy(min_containers=1, secrets=("KEY",), env={"A": "b"})
    await rig.scale()
    assert "hush" not in repr(rig.engine.started)
    box = await rig.boot(ready=False)
    assert json.loads(box.talk.of(wire.WELCOME)[0].meta)["env"] == {"KEY": "hush", "A": "b"}
    starting = await box.reconnect()
    assert json.loads(starting.of(wire.WELCOME)[0].meta)["env"] == {"KEY": "hush", "A": "b"}
    box.talk = starting
    box.say(wire.READY, slots=1, startup_s=0.1)
    await rig.settle()
    ready = await box.reconnect()
    assert json.loads(ready.of(wire.WELCOME)[0].meta)["env"] == {"A": "b"}


async def test_without_its_secret_a_container_does_not_start(rig: Rig) -> None:
    pool = await rig.deploy(secrets=("KEY",))
    item = await rig.call()
    rig.no_secret = "There is no secret KEY in environment main any more."
    for _ in range(3):
        await rig.tick(5)
        with pytest.raises(SessionRefused, match="no secret KEY"):
            await rig.boot(ready=False)
        rig.engine.end(rig.engine.started[-1].container_id)
        await rig.settle()
    result = await rig.result(item)
    assert result.outcome == "init_failure"
    assert json.loads(result.error_json or b"")["message"] == rig.no_secret
    assert any(rig.no_secret in line.text for line in rig.logs.lines)
    assert pool.start_error is not None
