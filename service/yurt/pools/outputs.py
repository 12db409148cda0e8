"""Reading what a container says about an input: nothing it sends is trusted."""

import msgspec
from msgspec import structs

from yurt.domain.endings import Ending, from_container
from yurt.domain.json_value import is_json_value
from yurt.domain.records import Outcome
from yurt_runner.wire import OUTCOMES, Frame


class _Timing(msgspec.Struct):
    """The meta part of an OUTPUT, on the path of every call."""

    run_s: float | None = None
    items: int | None = None


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
    said = _said(frame.meta)
    if said.items is not None:
        return _of_generator(frame, said.items, seconds(said.run_s))
    run_s = seconds(said.run_s)
    if frame.flags == 0:
        if is_json_value(frame.payload):
            return Ending(Outcome.SUCCESS, value=frame.payload, run_s=run_s)
        return Ending(Outcome.INTERNAL_ERROR, error=_forged("a value that is not one JSON value"), run_s=run_s)
    return _failure(frame, run_s)


def _failure(frame: Frame, run_s: float | None) -> Ending:
    outcome = Outcome(OUTCOMES[frame.flags]) if frame.flags < len(OUTCOMES) else None
    error = read_error(frame.payload)
    if outcome is None or error is None or outcome in {Outcome.INTERNAL_ERROR, Outcome.EXPIRED}:
        return Ending(Outcome.INTERNAL_ERROR, error=_forged("an error that cannot be read"), run_s=run_s)
    return Ending(outcome, error=error, run_s=run_s)


def _of_generator(frame: Frame, items: int, run_s: float | None) -> Ending:
    if frame.flags == 0:
        return Ending(Outcome.SUCCESS, run_s=run_s, items=items)
    return structs.replace(_failure(frame, run_s), items=items)


def _said(meta: bytes) -> _Timing:
    try:
        return _timing(meta)
    except msgspec.MsgspecError:
        return _Timing()


def read_error(payload: bytes) -> dict[str, object] | None:
    """The error object of a frame, or None where it is none."""
    try:
        payload.decode()
        return from_container(_object(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _forged(what: str) -> dict[str, object]:
    return {"type": "ProtocolError", "message": f"The container answered with {what}; the answer was not taken."}
