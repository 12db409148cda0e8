import io
import json
import zipfile
from pathlib import Path

import pytest

from tests.commands import Yurt
from tests.component.cli.fake_api import FakeApi

MANIFEST = """\
app = "thumbs"
source = { include = ["**/*.py"] }

[defaults]
memory = 512
timout = 3

[functions.resize]
entrypoint = "main:resize"
gpu = "H1OO"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "yurt.toml").write_text(MANIFEST)
    (tmp_path / "main.py").write_text("def resize(): ...\n")
    return tmp_path


def test_a_folder_becomes_an_app_with_its_functions(api: FakeApi, yurt: Yurt, project: Path) -> None:
    ran = yurt("deploy", project)

    assert ran.code == 0
    assert ran.out.split() == ["FUNCTION", "CHANGE", "thumbs:resize", "created"]
    assert api.functions["thumbs"]["resize"]["definition"] == {
        "entrypoint": "main:resize",
        "memory": 512,
        "timout": 3,
        "gpu": "H1OO",
        "source": {"files": {"main.py": "def resize(): ...\n"}},
    }


def test_a_second_deploy_says_what_changed(api: FakeApi, yurt: Yurt, project: Path) -> None:
    yurt("deploy", project)
    unchanged = yurt("deploy", project, "--json")
    (project / "main.py").write_text("def resize(): return 1\n")
    updated = yurt("deploy", project)

    assert json.loads(unchanged.out)["unchanged"] == ["resize"]
    assert "updated to revision 2: source" in updated.out
    assert len(api.apps) == 1


def test_functions_that_are_gone_are_removed(api: FakeApi, yurt: Yurt, project: Path) -> None:
    yurt("deploy", project)
    (project / "yurt.toml").write_text('app = "thumbs"\n[functions.crop]\nentrypoint = "main:crop"\n')

    ran = yurt("deploy", project, "--json")

    assert json.loads(ran.out) == {
        "app": "thumbs",
        "created": ["crop"],
        "updated": [],
        "unchanged": [],
        "removed": ["resize"],
        "warnings": [],
    }


@pytest.mark.parametrize("deployed_before", [True, False])
def test_a_dry_run_changes_nothing(api: FakeApi, yurt: Yurt, project: Path, *, deployed_before: bool) -> None:
    if deployed_before:
        api.add_app("thumbs")

    ran = yurt("deploy", project, "--dry-run")

    assert ran.code == 0
    assert "created" in ran.out
    assert "Nothing was changed" in ran.err
    assert len(api.apps) == deployed_before
    assert api.functions.get("thumbs", {}) == {}


@pytest.mark.parametrize("how", [(), ("--dry-run",)])
def test_a_bad_value_is_shown_with_its_line(api: FakeApi, yurt: Yurt, project: Path, how: tuple[str, ...]) -> None:
    api.invalid["resize"] = [
        {"pointer": "/functions/resize/gpu", "message": 'unknown type "H1OO". Did you mean H100?'},
        {"pointer": "/functions/resize/timout", "message": "unknown key. Did you mean timeout?"},
        {"pointer": "/functions/resize/source/files/main.py", "message": "main.py:1: invalid syntax"},
        {"pointer": "/functions/resize/source/files/b.py", "message": "must be text"},
    ]

    ran = yurt("deploy", project, *how)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        f'Error: {project}/yurt.toml:10: resize.gpu: unknown type "H1OO". Did you mean H100?',
        f"{project}/yurt.toml:6: resize.timout: unknown key. Did you mean timeout?",
        "main.py:1: invalid syntax",
        "b.py: must be text",
    ]


def test_a_refused_first_deploy_leaves_no_app(api: FakeApi, yurt: Yurt, project: Path) -> None:
    api.invalid["resize"] = [{"pointer": "/functions/resize/gpu", "message": "no"}]

    yurt("deploy", project)

    assert [app["state"] for app in api.apps.values()] == ["stopped"]


def test_a_refused_second_deploy_leaves_the_app_as_it_was(api: FakeApi, yurt: Yurt, project: Path) -> None:
    yurt("deploy", project)
    api.invalid["resize"] = [{"pointer": "/functions/resize/gpu", "message": "no"}]

    assert yurt("deploy", project).code == 2

    assert [app["state"] for app in api.apps.values()] == ["deployed"]
    assert "resize" in api.functions["thumbs"]


def test_large_source_goes_as_a_bundle_and_only_once(api: FakeApi, yurt: Yurt, project: Path) -> None:
    (project / "table.py").write_text("DATA = " + repr("x" * 1_100_000))

    yurt("deploy", project)
    yurt("deploy", project)

    source = api.functions["thumbs"]["resize"]["definition"]["source"]
    assert list(api.bundles) == [source["bundle"]]
    archive = zipfile.ZipFile(io.BytesIO(api.bundles[source["bundle"]]))
    assert archive.namelist() == ["main.py", "table.py"]
    assert [method for method, path, _ in api.requests if "/bundles/" in path] == ["HEAD", "PUT", "HEAD"]


def test_one_file_is_an_app_of_its_public_functions(api: FakeApi, yurt: Yurt, tmp_path: Path) -> None:
    script = tmp_path / "my script.py"
    script.write_text(
        "import nowhere\n\ndef a(): ...\nasync def b(): ...\ndef _c(): ...\nclass D:\n    def e(self): ...\n"
    )

    ran = yurt("deploy", script)

    assert ran.code == 0
    functions = api.functions["my-script"]
    assert sorted(functions) == ["a", "b"]
    assert functions["a"]["definition"]["entrypoint"] == "my_script:a"
    assert list(functions["a"]["definition"]["source"]["files"]) == ["my_script.py"]


def test_another_name_can_be_given(api: FakeApi, yurt: Yurt, project: Path) -> None:
    yurt("deploy", project, "--name", "other")

    assert list(api.functions) == ["other"]


def test_warnings_go_to_stderr(api: FakeApi, yurt: Yurt, tmp_path: Path) -> None:
    (tmp_path / "yurt.toml").write_text('app="a"\n[functions.f]\nentrypoint="m:f"\nimage="python:3.12"\n')
    (tmp_path / "m.py").write_text("def f(): ...\n")

    ran = yurt("deploy", tmp_path)

    assert "Warning: f: image is ignored\n" in ran.err
    assert "Warning" not in ran.out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.py", "def f(:\n", "bad.py:1:"),
        ("none.py", "x = 1\n", "has no public function"),
        ("absent.py", None, "there is no"),
    ],
)
def test_a_file_that_cannot_be_deployed(
    api: FakeApi, yurt: Yurt, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content:
        (tmp_path / name).write_text(content)

    ran = yurt("deploy", tmp_path / name)

    assert ran.code == 2
    assert message in ran.err
    assert api.requests == []


def test_a_folder_that_init_cannot_make_is_named(yurt: Yurt, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    ran = yurt("init", tmp_path / "file" / "hello")

    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"Error: {tmp_path}/file/hello cannot be written: Not a directory\n"


def test_a_bad_name_of_the_app_is_shown_with_its_line(api: FakeApi, yurt: Yurt, project: Path) -> None:
    manifest = project / "yurt.toml"
    manifest.write_text(manifest.read_text().replace('app = "thumbs"', 'app = "my thumbs"'))

    ran = yurt("deploy", project)
    renamed = yurt("deploy", project, "--name", "not one")

    assert (ran.code, renamed.code) == (2, 2)
    assert ran.err == f"Error: {manifest}:1: app: must be a name\n"
    assert renamed.err == "Error: /name: must be a name\n"


def test_what_init_says_next_can_be_pasted(yurt: Yurt, tmp_path: Path) -> None:
    ran = yurt("init", tmp_path / "my app")

    assert f"  yurt deploy '{tmp_path}/my app'\n" in ran.err


def test_what_init_writes_can_be_deployed(api: FakeApi, yurt: Yurt, tmp_path: Path) -> None:
    written = yurt("init", tmp_path / "hello")
    deployed = yurt("deploy", tmp_path / "hello")
    again = yurt("init", tmp_path / "hello")

    assert (written.code, deployed.code) == (0, 0)
    assert api.functions["hello"]["greet"]["definition"]["entrypoint"] == "main:greet"
    assert again.code == 2
    assert "is there already" in again.err
