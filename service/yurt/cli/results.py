"""Printing how a call ended."""

import base64
from pathlib import Path
from typing import Any

from yurt.cli import output
from yurt.cli.client import Json
from yurt.cli.failures import CommandError, ExitCode
from yurt.cli.watching import ENDED, pending_message


def report(call: Json, *, as_json: bool, save_to: Path | None = None) -> None:
    """Print a call's result alone on stdout, or say on stderr why there is none.

    Args:
        call: a FunctionCall, or the answer of an invocation.
        as_json: print the whole answer instead, whatever the status.
        save_to: write the result there: the bytes of bytes, else JSON.

    Raises:
        CommandError: the call failed, was cancelled, or is still pending; or the file cannot be written.
    """
    if as_json:
        output.print_json(call)
    if call["status"] not in ENDED:
        reason = f": {pending_message(call)}" if call["status"] == "pending" else ""
        raise CommandError(
            f"{call['call_id']} is still {call['status']}{reason}",
            f"Wait for it: yurt get {call['call_id']} --wait 60",
            ExitCode.PENDING,
        )
    if call["status"] != "success":
        raise _failed(call)
    if call.get("kind") == "map":
        return  # it has no result of its own
    if "num_items" in call and "result" not in call:
        if "result_omitted" in call:
            output.notice(call["result_omitted"])
        elif save_to and call["num_items"]:
            output.notice(f"wrote {save_to}")
    elif save_to:
        _save(call, save_to)
    elif not as_json:
        _print_result(call)


def _save(call: Json, save_to: Path) -> None:
    try:
        save_to.write_bytes(_content(call.get("result")))
    except OSError as error:
        raise CommandError(
            f"{save_to} cannot be written: {error.strerror}",
            f"The result is kept: yurt get {call['call_id']} --output FILE",
        ) from error
    output.notice(f"wrote {save_to}")


def why_failed(line: Json) -> str:
    """Why an input of a map has no result, in a few words."""
    error = line.get("error") or {}
    return f"{error.get('type', line['status'])}: {error.get('message', '')}"


def _print_result(call: Json) -> None:
    result = call.get("result")
    if output.on_terminal() and _is_bytes(result):
        output.notice(f"The result is {len(_content(result)):,} bytes; --output FILE saves them.")
    else:
        output.print_json(result)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"$bytes"}


def _content(value: Any) -> bytes:
    if _is_bytes(value):
        return base64.b64decode(value["$bytes"])
    return output.compact(value).encode()


def _failed(call: Json) -> CommandError:
    """The error of a call, as words: the traceback first, then what it comes to."""
    error = call.get("error") or {}
    if trace := error.get("traceback"):
        output.notice(str(trace).rstrip())
    if last := error.get("last_output"):
        output.notice(f"Last output:\n{str(last).rstrip()}")
    outcome = str(error.get("outcome") or call["status"])
    kind = str(error.get("type") or "")
    # Where Yurt itself ended the call, the type says the outcome once more: OutOfMemory, out_of_memory.
    kinds = [kind] if kind and kind.lower() != outcome.replace("_", "") else []
    what = str(error.get("message") or call["status"])
    return CommandError(": ".join([f"{call['call_id']} ended as {outcome}", *kinds, what]), error.get("hint"))
