"""What is found where something outside is looked over before a server relies on it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: a few words.
        said: what was found.
        todo: what to do about it; empty where nothing is wrong.
    """

    what: str
    said: str
    todo: str = ""
