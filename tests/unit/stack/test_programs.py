from pathlib import Path

import pytest

from scripts.stack.programs import CONSUL, NOMAD, Program, Unobtainable, build, find_on_path, obtain, published_modules

TOLD: list[str] = []


def put(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing but what a test puts there."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.parametrize(("said", "taken"), [("Nomad v1.12.0", True), ("Nomad v1.9.7", False), ("nonsense", False)])
def test_a_program_on_the_path_is_taken_if_it_is_new_enough(bare_path: Path, said: str, taken: bool) -> None:
    put(bare_path, "nomad", f'echo "{said}"')
    found, why_not = find_on_path(NOMAD)
    assert (found is not None) == taken
    assert bool(why_not) != taken


def test_what_is_in_the_cache_is_taken_without_a_word(bare_path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "cache" / f"consul-{CONSUL.version}"
    kept.parent.mkdir()
    kept.write_text("")
    told: list[str] = []
    assert obtain(CONSUL, told.append, tmp_path / "cache") == kept
    assert not told


def test_when_no_way_leads_to_it_each_is_named(
    bare_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.stack.programs.RELEASES", "http://127.0.0.1:9")
    monkeypatch.setattr("scripts.stack.programs.GO", ("nothing-of-this-name",))
    with pytest.raises(Unobtainable) as refused:
        obtain(NOMAD, TOLD.append, tmp_path / "cache")
    for word in ("not on the PATH", "127.0.0.1:9", "go is not", str(tmp_path / "cache")):
        assert word in str(refused.value)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


def test_go_is_tried_again_until_it_succeeds(bare_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.stack.programs.GO_PAUSE_S", 0)
    source = tmp_path / "source"
    source.mkdir()
    (source / "go.mod").write_text("replace github.com/hashicorp/tool/api => ./api\n")
    (source / "go.sum").write_text("")
    # Fails at each odd call; a build writes its go.mod to where the program goes.
    put(
        bare_path,
        "go",
        f"""n=$(/bin/cat {tmp_path}/n 2>/dev/null || echo 0); echo $((n+1)) >{tmp_path}/n
[ $((n % 2)) = 1 ] || {{ echo "502 Bad Gateway" >&2; exit 1; }}
[ "$1" = mod ] && {{ echo '{{"Dir": "{source}"}}'; exit; }}
for word; do case $word in -modfile=*) mod=${{word#-modfile=}};; esac; done
/bin/cp "$mod" {tmp_path}/tool""",
    )
    build(Program("tool", "1.0.0", (1, 0), {"api": "v2.3.4"}), tmp_path / "tool", TOLD.append)
    assert (tmp_path / "tool").read_text() == (
        "replace github.com/hashicorp/tool/api => github.com/hashicorp/tool/api v2.3.4\n"
    )


def test_only_the_programs_own_modules_are_taken_from_elsewhere() -> None:
    go_mod = (
        "\tgithub.com/hashicorp/hcl => github.com/hashicorp/hcl v1.0.1\n\tgithub.com/hashicorp/nomad/api => ./api\n"
    )
    published = published_modules(go_mod, NOMAD)
    assert "hcl => github.com/hashicorp/hcl v1.0.1" in published
    assert f"nomad/api => github.com/hashicorp/nomad/api {NOMAD.modules['api']}" in published
    assert "./" not in published
