"""PostgreSQL for tests in a container, where Docker is there."""

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from docker.errors import DockerException, NotFound
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.config import testcontainers_config
from testcontainers.core.docker_client import DockerClient

OWNER = "yurt.test.process"
"""The label of a container that says which process ends it."""
LOOK_S = 0.05
START_S = 60


class NoDocker(Exception):
    """There is no Docker to be reached."""


class NoContainer(Exception):
    """Docker is there, and the image is not to be had or does not run."""


@contextmanager
def postgres_container(image: str) -> Iterator[str]:
    """The `user:password@host:port` of a server, gone at the end.

    Raises:
        NoDocker: there is none.
        NoContainer: Docker cannot run it.
    """
    _reach_docker()
    labels = {OWNER: str(os.getpid())}
    container = PostgresContainer(image, username="yurt", password="yurt", dbname="postgres", driver=None)
    try:
        try:
            container.with_kwargs(labels=labels).start()
        except (DockerException, TimeoutError) as error:
            raise NoContainer(f"the image {image} does not run: {error}") from error
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(5432)}"
        container.get_docker_client().client.close()  # a socket kept open would count as left by a test
        yield f"yurt:yurt@{address}"
    finally:
        container.stop()


def _reach_docker() -> None:
    """Return if Docker answers, and remove what killed tests have left there.

    Raises:
        NoDocker: it does not.
    """
    testcontainers_config.ryuk_disabled = True  # the library's own cleaner is one more image to be had
    testcontainers_config.sleep_time = LOOK_S
    testcontainers_config.max_tries = int(START_S / LOOK_S)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the library forgets its socket where nobody answers
        trouble = _remove_leftovers()
        gc.collect()
    if trouble:
        raise NoDocker(f"Docker does not answer: {trouble}")


def _remove_leftovers() -> str | None:
    """What keeps Docker from answering, or None."""
    try:
        docker = DockerClient().client
        try:
            for container in docker.containers.list(all=True, filters={"label": OWNER}):
                if not psutil.pid_exists(int(container.labels[OWNER])):
                    container.remove(force=True, v=True)
        finally:
            docker.close()
    except NotFound:
        return None  # other tests removed it at the same time
    except DockerException as error:
        return str(error)
    return None
