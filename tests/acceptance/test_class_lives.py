"""Classes over the end of a server: what waits, what runs, what is to be done at the end."""

from pathlib import Path

from tests.acceptance.served import serving
from tests.acceptance.test_classes import deploy, result


async def test_what_waits_and_what_runs_survive_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await deploy(server, "killed", max_containers=1)
        path = "/v1/functions/killed:Counter/spawn"
        large = {"parameters": {"name": "large"}}
        running = (await server.ask("POST", path, {"method": "nap", "args": [2], **large})).json["call_id"]
        container = (await server.logs("/v1/functions/killed:Counter", "napping"))[0]["container_id"]
        waiting = (await server.ask("POST", path, {"method": "add", "args": [5], **large})).json["call_id"]
        await server.kill()
        await server.start()
        ended = (await server.ask("GET", f"/v1/function-calls/{running}?wait=30")).json
        assert (ended["status"], ended["result"], ended["attempts"]) == ("success", 0, 1)
        ended = (await server.ask("GET", f"/v1/function-calls/{waiting}?wait=30")).json
        assert ended["result"] == ["large", 5, container], "the same object serves on"


async def test_exit_hooks_run_when_the_server_stops(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await deploy(server, "ending")
        container = (await result(server, "ending:Counter", "add", 3))[2]
        assert await server.stop() == 0
        await server.start()
        lines = (await server.ask("GET", f"/v1/containers/{container}/logs")).json["data"]
        assert [line["text"] for line in lines] == ["loaded small", "closing small 3"]
        found = (await server.ask("GET", f"/v1/containers/{container}")).json
        assert (found["state"], found["end_reason"]) == ("ended", "the server stops")
