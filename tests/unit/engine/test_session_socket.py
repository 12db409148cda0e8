"""Where containers of one machine find their server."""

from pathlib import Path

from yurt.outbound.engines.local import session_socket


def test_each_installation_has_its_own() -> None:
    assert session_socket(Path("/run/yurt"), "abc") == Path("/run/yurt/abc.sock")


def test_a_path_that_is_too_long_for_the_kernel_is_none() -> None:
    room = 107 - len("/" + "/abc.sock")
    assert session_socket(Path("/" + "d" * room), "abc") is not None
    assert session_socket(Path("/" + "d" * (room + 1)), "abc") is None
    assert session_socket(Path("/" + "ä" * (room // 2 + 1)), "abc") is None
