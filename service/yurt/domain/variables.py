"""Environment variables, as definitions and secrets may set them."""

from collections.abc import Mapping

ENV_BYTES = 64 << 10
"""Names and values of `env`, or of one secret, together; the kernel gives a process a few times that for arguments and
environment."""

RESERVED = "YURT_"
"""Names that begin so are the server's own."""


def variable_problem(name: str) -> str | None:
    """Why a variable cannot bear `name`, without a full stop, or None."""
    if not name or "=" in name or "\0" in name:
        return "the name of a variable must not be empty, nor contain = or NUL"
    if name.startswith(RESERVED):
        return f"names that begin with {RESERVED} are the server's own"
    return None


def size_bytes(values: Mapping[str, str]) -> int:
    """Of variables in the environment of a process."""
    return sum(len(name.encode()) + len(value.encode()) + 2 for name, value in values.items())
