"""Where the tests' PostgreSQL comes from, and what happens where there is none."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import postgres
from tests.containers import NoContainer, NoDocker
from tests.postgres import PostgresServer, any_server


@pytest.fixture(autouse=True)
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has neither."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(postgres, "CHOSEN_IMAGE", None)
    monkeypatch.setattr(postgres, "binaries", lambda: None)
    docker_says(monkeypatch, NoDocker("nobody answers"))


def docker_says(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> list[str]:
    """Make Docker fail, or work; the images that it is asked for."""
    asked: list[str] = []

    @contextmanager
    def container(image: str) -> Iterator[str]:
        asked.append(image)
        if error:
            raise error
        yield "yurt:yurt@host:5432"

    monkeypatch.setattr(postgres, "postgres_container", container)
    return asked


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server from binaries, without starting it."""

    @contextmanager
    def installed(_reason: str) -> Iterator[PostgresServer]:
        yield PostgresServer("yurt@installed:1")

    monkeypatch.setattr(postgres, "installed_server", installed)


@pytest.mark.parametrize(("chosen", "image"), [(None, "postgres:17"), ("own:1", "own:1")])
def test_docker_comes_first(monkeypatch: pytest.MonkeyPatch, chosen: str | None, image: str) -> None:
    asked = docker_says(monkeypatch, None)
    install(monkeypatch)
    monkeypatch.setattr(postgres, "CHOSEN_IMAGE", chosen)
    with any_server() as server:
        assert server.url("one") == "postgresql://yurt:yurt@host:5432/one"
    assert asked == [image]


@pytest.mark.parametrize("error", [NoDocker("nobody answers"), NoContainer("no such image")])
def test_else_the_binaries_serve(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    docker_says(monkeypatch, error)
    install(monkeypatch)
    with any_server() as server:
        assert server.url() == "postgresql://yurt@installed:1/postgres"


def test_an_image_that_was_chosen_and_does_not_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    docker_says(monkeypatch, NoContainer("no such image"))
    install(monkeypatch)
    monkeypatch.setattr(postgres, "CHOSEN_IMAGE", "own:1")
    with pytest.raises(pytest.fail.Exception, match="no such image; it was chosen with YURT_TEST_POSTGRES_IMAGE"):
        any_server().__enter__()


def test_without_both_a_test_is_skipped_with_the_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"install its binaries.*nobody answers"):
        any_server().__enter__()


def test_without_both_continuous_integration_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match=r"install its binaries.*nobody answers"):
        any_server().__enter__()


def test_what_is_killed_and_frozen_is_always_installed() -> None:
    with pytest.raises(pytest.skip.Exception, match="no PostgreSQL is installed"):
        postgres.installed_server().__enter__()
