"""What a refusal of the system means for whoever waits."""

import errno
import os

import pytest

from yurt.outbound.engines.local.launch import refusal


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EAGAIN, "no_capacity"),
        (errno.ENOMEM, "no_capacity"),
        (errno.ENOSPC, "no_capacity"),
        (errno.ENOENT, "engine_unreachable"),
        (errno.EACCES, "engine_unreachable"),
    ],
)
def test_a_refusal_of_the_system_becomes_a_pending_reason(number: int, code: str) -> None:
    refused = refusal(OSError(number, os.strerror(number), "/run/yurt"), "start a container of a:f")
    assert refused.code == code
    assert refused.message == f"This machine could not start a container of a:f: {os.strerror(number)} (/run/yurt)."
