import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.cli.failures import CommandError
from yurt.cli.sources import INLINE_BYTES, bundle, collect, inline

EVERYTHING = ("**",)


def lay_out(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")


def test_patterns_choose_files_in_every_folder(tmp_path: Path) -> None:
    lay_out(tmp_path, "main.py", "lib/a.py", "lib/a.txt", "tests/test_a.py")

    assert list(collect(tmp_path, ["**/*.py"], ["tests/**"])) == ["lib/a.py", "main.py"]


def test_caches_and_repositories_never_travel(tmp_path: Path) -> None:
    lay_out(tmp_path, "main.py", ".git/config", ".venv/lib/x.py", "a/__pycache__/m.pyc", "b/old.pyc")

    assert list(collect(tmp_path, EVERYTHING, ())) == ["main.py"]


def test_what_git_ignores_stays_out(tmp_path: Path) -> None:
    lay_out(
        tmp_path, ".gitignore", "main.py", "secret.env", "data/big.bin", "data/keep.bin", "sub/local.py", "sub/b.py"
    )
    (tmp_path / ".gitignore").write_text("*.env\n*.bin\n")
    (tmp_path / "data/.gitignore").write_text("!keep.bin\n")
    (tmp_path / "sub/.gitignore").write_text("/local.py\n")

    found = [name for name in collect(tmp_path, EVERYTHING, ()) if not name.endswith(".gitignore")]

    assert found == ["data/keep.bin", "main.py", "sub/b.py"]


def test_a_gitignore_above_counts_inside_a_repository_only(tmp_path: Path) -> None:
    lay_out(tmp_path, "repo/app/main.py", "repo/app/generated.py")
    (tmp_path / "repo/.gitignore").write_text("generated.py\n")

    assert "generated.py" in collect(tmp_path / "repo/app", EVERYTHING, ())

    (tmp_path / "repo/.git").mkdir()
    assert "generated.py" not in collect(tmp_path / "repo/app", EVERYTHING, ())


def test_a_pipe_is_refused_and_never_read(tmp_path: Path) -> None:
    lay_out(tmp_path, "main.py")
    os.mkfifo(tmp_path / "pipe.py")

    with pytest.raises(CommandError, match=r"pipe\.py is no file"):
        collect(tmp_path, EVERYTHING, ())
    assert list(collect(tmp_path, EVERYTHING, ["pipe.py"])) == ["main.py"]


def test_a_gitignore_that_is_no_text_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    lay_out(tmp_path, "main.py", "secret.env")
    (tmp_path / ".gitignore").write_bytes(b"\xff\xfe\n*.env\n")

    assert list(collect(tmp_path, ["*.py", "*.env"], ())) == ["main.py"]


def test_links_may_not_leave_the_folder(tmp_path: Path) -> None:
    lay_out(tmp_path, "app/main.py", "passwords")
    (tmp_path / "app/alias.py").symlink_to(tmp_path / "app/main.py")
    assert list(collect(tmp_path / "app", EVERYTHING, ())) == ["alias.py", "main.py"]

    (tmp_path / "app/stolen").symlink_to(tmp_path / "passwords")
    with pytest.raises(CommandError, match="stolen is a link to a file outside"):
        collect(tmp_path / "app", EVERYTHING, ())


def test_small_text_travels_in_the_definition_and_the_rest_does_not() -> None:
    assert inline({"a.py": "é".encode()}) == {"a.py": "é"}
    assert inline({"a.png": b"\x89PNG"}) is None
    assert inline({"a.py": b"x" * INLINE_BYTES, "b.py": b""}) is not None
    assert inline({"a.py": b"x" * INLINE_BYTES, "b.py": b"x"}) is None


NAMES = st.text("abc/", min_size=1, max_size=8).filter(lambda name: "//" not in name and name.strip("/") == name)


@given(st.dictionaries(NAMES, st.binary(max_size=50), min_size=1, max_size=5))
def test_equal_files_make_equal_bundles(files: dict[str, bytes]) -> None:
    archive = bundle(files)

    assert archive == bundle(dict(reversed(files.items())))
    with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == files
