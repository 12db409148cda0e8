"""Reading what a container says about an input: nothing it sends is trusted."""

import msgspec

from yurt.domain.endings import Ending, from_container
from yurt.domain.json_value import is_json_value
from yurt.domain.records import Outcome
from yurt_runner.wire import OUTCOMES, Frame


class _Timing(msgspec.Struct):
    """The meta part of an OUTPUT, on the path of every call."""

    run_s: float | None = None


_timing = msgspec.json.Decoder(_Timing).decode
_object = msgspec.json.Decoder(dict[str, object]).decode


def read_meta(frame: Frame) -> dict[str, object]:
    """The meta part of a frame, empty where it is missing or not an object."""
    if not frame.meta:
        return {}
    try:
        return _object(frame.meta)
    except msgspec.DecodeError:
        return {}


def seconds(value: object) -> float | None:
    """A duration that a container reported, or None where it is no sane number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        return None
    return float(value)


def read_output(frame: Frame) -> Ending:
    """The ending that an OUTPUT frame tells of; what cannot be believed becomes an `internal_error`."""
    run_s = _run_s(frame.meta)
    if frame.flags == 0:
        if is_json_value(frame.payload):
            return Ending(Outcome.SUCCESS, value=frame.payload, run_s=run_s)
        return Ending(Outcome.INTERNAL_ERROR, error=_forged("a value that is not one JSON value"), run_s=run_s)
    outcome = Outcome(OUTCOMES[frame.flags]) if frame.flags < len(OUTCOMES) else None
    error = read_error(frame.payload)
    if outcome is None or error is None or outcome in {Outcome.INTERNAL_ERROR, Outcome.EXPIRED}:
        return Ending(Outcome.INTERNAL_ERROR, error=_forged("an error that cannot be read"), run_s=run_s)
    return Ending(outcome, error=error, run_s=run_s)


def _run_s(meta: bytes) -> float | None:
    try:
        return seconds(_timing(meta).run_s)
    except msgspec.MsgspecError:
        return None


def read_error(payload: bytes) -> dict[str, object] | None:
    """The error object of a frame, or None where it is none."""
    try:
        payload.decode()
        return from_container(_object(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _forged(what: str) -> dict[str, object]:
    return {"type": "ProtocolError", "message": f"The container answered with {what}; the answer was not taken."}
