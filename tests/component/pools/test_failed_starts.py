"""What is told of a function whose containers cannot start."""

import json

import pytest

from tests.component.pools.rig import Rig
from yurt.domain.records import Outcome
from yurt.domain.startup import Startup


@pytest.mark.parametrize(
    ("environment", "outcome", "hint"),
    [
        ("main", Outcome.INIT_FAILURE, "No container of the function could start. Logs: yurt logs demo:work"),
        ("lab", Outcome.INIT_FAILURE, "No container of the function could start. Logs: yurt logs demo:work -e lab"),
        (
            "lab",
            Outcome.TIMEOUT,
            "Raise the function's startup_timeout, or have it do less as it starts. Logs: yurt logs demo:work -e lab",
        ),
    ],
)
async def test_who_waited_for_a_start_that_failed_is_told_the_command_that_shows_why(
    rig: Rig, environment: str, outcome: Outcome, hint: str
) -> None:
    pool = await rig.deploy(environment=environment)
    pool.startup = Startup(failures=2)
    item = await rig.call()
    await rig.scale()
    box = await rig.boot(ready=False)
    box.start_failed(outcome=outcome)
    error = json.loads((await rig.result(item)).error_json or b"")
    assert (error["outcome"], error["hint"]) == (outcome, hint)
