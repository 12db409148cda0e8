import io
import json
import stat
from pathlib import Path

import pytest

from tests.commands import Yurt
from tests.component.cli.fake_api import TOKEN, FakeApi

LINES = [
    {"time": f"2026-11-22T10:15:3{n}Z", "stream": stream, "container_id": "co-1", "text": f"line {n}"}
    for n, stream in enumerate(("stdout", "stderr", "system"))
]


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_apps_hides_stopped_ones_unless_asked(api: FakeApi, yurt: Yurt) -> None:
    for name in ("a", "b", "c"):
        api.add_app(name)
    api.apps["ap-2"]["state"] = "stopped"

    assert [row[0] for row in table(yurt("apps").out)] == ["APP", "a", "c"]
    assert [app["name"] for app in json.loads(yurt("apps", "--all", "--json").out)] == ["a", "b", "c"]


def test_functions_of_one_app_or_of_all(api: FakeApi, yurt: Yurt) -> None:
    for app in ("a", "b"):
        api.add_app(app)
        api.functions[app] = {
            name: {"function_id": f"fu-{name}", "name": name, "revision": 4, "timeout": 60, "memory": 512}
            for name in ("f", "g", "h")
        }

    assert [row[0] for row in table(yurt("functions", "a").out)] == ["FUNCTION", "a:f", "a:g", "a:h"]
    assert len(json.loads(yurt("functions", "--json").out)) == 6


def test_functions_says_which_revision_cannot_start(api: FakeApi, yurt: Yurt) -> None:
    api.add_app("a")
    error = {"outcome": "init_failure", "type": "ModuleNotFoundError", "message": "No module named 'nosuch'"}
    api.functions["a"] = {
        name: {"function_id": f"fu-{name}", "name": name, "revision": 4, "timeout": 60, "memory": 512}
        | ({"deploy_error": error} if name == "g" else {})
        for name in ("f", "g")
    }

    ran = yurt("functions", "a")

    assert ran.code == 0
    assert ran.err == "revision 4 of a:g cannot start: ModuleNotFoundError: No module named 'nosuch'\n"


def test_nothing_to_list_is_no_error(api: FakeApi, yurt: Yurt) -> None:
    ran = yurt("functions", "--json")

    assert (ran.code, ran.out) == (0, "[]\n")


def test_containers_and_environments_are_listed(api: FakeApi, yurt: Yurt) -> None:
    assert [row[0] for row in table(yurt("containers").out)] == ["CONTAINER", "co-1", "co-2"]
    assert len(json.loads(yurt("containers", "--all", "--json").out)) == 3
    assert table(yurt("environments").out)[1][0] == "main"


def test_stop_stops_the_app(api: FakeApi, yurt: Yurt) -> None:
    api.add_app("a")

    assert yurt("stop", "a").code == 0
    assert api.apps["ap-1"]["state"] == "stopped"
    assert yurt("stop", "a").code == 3


@pytest.mark.parametrize(
    ("subject", "path"),
    [
        (["app:f"], "/v1/functions/app:f/logs"),
        (["--call", "fc-1"], "/v1/function-calls/fc-1/logs"),
        (["--container", "co-1"], "/v1/containers/co-1/logs"),
    ],
)
@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_logs_are_printed_line_by_line(
    api: FakeApi, yurt: Yurt, subject: list[str], path: str, follow: list[str]
) -> None:
    api.lines[path] = LINES

    ran = yurt("logs", *subject, *follow, "--since", "10m", "--tail", "5")

    assert ran.code == 0
    assert [line.split(" ", 1)[1] for line in ran.out.splitlines()] == ["line 0", "[stderr] line 1", "[system] line 2"]
    _, asked, query = api.requests[0]
    assert (asked, query["since"], query["tail"]) == (path, "10m", "5")


def test_logs_in_json_are_one_object_a_line(api: FakeApi, yurt: Yurt) -> None:
    api.lines["/v1/functions/app:f/logs"] = LINES

    ran = yurt("logs", "app:f", "--json")

    assert [json.loads(line) for line in ran.out.splitlines()] == LINES


@pytest.mark.parametrize("subject", [[], ["app:f", "--call", "fc-1"]])
def test_logs_are_of_exactly_one_thing(api: FakeApi, yurt: Yurt, subject: list[str]) -> None:
    ran = yurt("logs", *subject)

    assert ran.code == 2
    assert "APP:FUNCTION" in ran.err


def test_a_token_is_shown_once_listed_and_revoked(api: FakeApi, yurt: Yurt) -> None:
    made = yurt("token", "create", "ci", "--role", "deploy", "-e", "staging")
    listed = yurt("token", "list")
    revoked = yurt("token", "revoke", "tk-2")

    assert made.out == "tk-2:s3cret\n"
    assert api.bodies == [{"name": "ci", "role": "deploy", "environment": "staging"}]
    assert table(listed.out)[1] == ["tk-2", "ci", "deploy", "staging", "never"]
    assert (revoked.code, api.tokens) == (0, {})


class TestLogin:
    @pytest.fixture
    def somewhere(self, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
        """A server that only a login tells of."""
        monkeypatch.delenv("YURT_URL")
        monkeypatch.delenv("YURT_TOKEN")
        return api

    @staticmethod
    def give(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(secret + "\n"))

    def test_what_it_stores_is_used_and_private(
        self, somewhere: FakeApi, yurt: Yurt, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.give(monkeypatch, TOKEN)

        ran = yurt("login", somewhere.url + "/v1/")

        stored = Path.home() / ".config/yurt/config.toml"
        assert ran.code == 0
        assert stat.S_IMODE(stored.stat().st_mode) == 0o600
        assert TOKEN not in ran.out + ran.err
        assert yurt("apps").code == 0

    def test_a_wrong_token_is_not_stored(self, somewhere: FakeApi, yurt: Yurt, monkeypatch: pytest.MonkeyPatch) -> None:
        self.give(monkeypatch, "tk-1:wrong")

        assert yurt("login", somewhere.url).code == 4
        assert not (Path.home() / ".config/yurt/config.toml").exists()

    def test_a_place_that_cannot_be_written_is_named(
        self, somewhere: FakeApi, yurt: Yurt, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path.home().mkdir(parents=True, exist_ok=True)
        (Path.home() / ".config").write_text("")
        self.give(monkeypatch, TOKEN)

        ran = yurt("login", somewhere.url)

        assert ran.code == 1
        assert "cannot be written: " in ran.err
        assert "YURT_TOKEN" in ran.err

    def test_a_stored_token_goes_to_no_other_server(
        self, somewhere: FakeApi, yurt: Yurt, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.give(monkeypatch, TOKEN)
        yurt("login", somewhere.url)
        asked = len(somewhere.requests)

        ran = yurt("apps", "--url", somewhere.url.replace("127.0.0.1", "localhost"))

        assert ran.code == 4
        assert "no token for http://localhost" in ran.err
        assert len(somewhere.requests) == asked

    def test_a_server_of_this_machine_needs_no_login(self, somewhere: FakeApi, yurt: Yurt) -> None:
        data_dir = Path.home() / ".local/share/yurt"
        data_dir.mkdir(parents=True)
        (data_dir / "admin-token").write_text(TOKEN + "\n")

        assert yurt("apps", "--url", somewhere.url).code == 0
