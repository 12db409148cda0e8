"""What can go wrong with a Nomad cluster, by kind: Nomad itself answers most of it with 500 and a text."""

from yurt.ports import EngineRefused

_AWAY = ("No cluster leader", "Not ready to serve consistent reads", "No path to region")
_AWAY_STATUSES = frozenset({429, 502, 503, 504})


class NomadError(Exception):
    """Nomad refused a request.

    Args:
        status: of its HTTP answer; 0 where there was none.
        message: what it said, for people.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Unreachable(NomadError):
    """There is no agent, no leader, or no answer in time. The request may have been carried out."""


class Denied(NomadError):
    """The token lacks a right."""


class Missing(NomadError):
    """There is no such thing."""


def error_of(status: int, text: str) -> NomadError:
    """The error that an answer stands for.

    Args:
        status: of the answer, not 2xx.
        text: its body.
    """
    message = " ".join(text.split())[:1000] or f"HTTP {status}"
    if status in _AWAY_STATUSES or any(word in text for word in _AWAY):
        return Unreachable(status, message)
    if status == 403 or "Permission denied" in text:
        return Denied(status, message)
    return Missing(status, message) if status == 404 else NomadError(status, message)


def as_refusal(error: NomadError, what: str) -> EngineRefused:
    """What a failure means for whoever waits for a container.

    Args:
        error: of Nomad.
        what: what was to be done, such as `register thumbs:resize`.
    """
    if isinstance(error, Unreachable):
        return EngineRefused("engine_unreachable", f"Nomad could not be asked to {what}: {error.message}.")
    if isinstance(error, Denied):
        return EngineRefused(
            "engine_unreachable", f"Nomad does not let this server {what}: {error.message}. Run yurt doctor."
        )
    return EngineRefused("start_refused", f"Nomad refused to {what}: {error.message}.")
