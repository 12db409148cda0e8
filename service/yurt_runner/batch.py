"""Batched functions: one call for several inputs, lists in, a list out."""

from __future__ import annotations

import inspect
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from yurt_runner import context, faults
from yurt_runner.attempt import SUCCESS, USER_ERROR, Result, Terms, arguments, failure
from yurt_runner.errors import wrong_arguments
from yurt_runner.inbox import Inbox
from yurt_runner.load import EntrypointError
from yurt_runner.values import encode
from yurt_runner.wire import MORE, OUTPUT, Frame, pack

_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Batch:
    """Inputs that run together. To a worker it is one frame: that of its first member.

    Attributes:
        results: of the members, where they do not share one.
    """

    __slots__ = ("frames", "meta", "results", "seq", "token")

    def __init__(self, frames: List[Frame]) -> None:
        self.frames = frames
        self.seq, self.token, self.meta = frames[0].seq, frames[0].token, frames[0].meta
        self.results: List[Optional[Result]] = [None] * len(frames)


class BatchInbox:
    """Gives out batches; see `inbox.Permitted`."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox, self.permits = inbox, inbox.permits

    def permitted(self, *, wait: bool = True) -> Any:
        """The next batch that may begin; see `Inbox`."""
        frame = self._inbox.permitted(wait=wait)
        if frame is None:
            return None
        frames = [frame]
        while frames[-1].flags & MORE:
            frames.append(self._inbox.frame())
        return Batch(frames)


class Batched:
    """The work of a batched function; see `attempt.Work`.

    Raises:
        EntrypointError: the function's parameters do not make lists.
    """

    def __init__(self, terms: Terms, *, is_async: bool, name: str) -> None:
        self._function, self._terms, self._name = terms.function, terms, name
        self.is_async = is_async
        self._signature = signature(terms.function, name)

    def run(self, batch: Any) -> Result:
        """See `Work`."""
        columns = self._columns(batch)
        return self._spread(batch, self._function(*columns[0], **columns[1])) if columns else _NO_RESULT

    async def run_async(self, batch: Any) -> Result:
        """See `Work`."""
        columns = self._columns(batch)
        return self._spread(batch, await self._function(*columns[0], **columns[1])) if columns else _NO_RESULT

    def output(self, batch: Any, result: Result, since: float) -> bytes:
        """See `Work`: one OUTPUT for each member."""
        meta = b'{"run_s":%.6f}' % (time.monotonic() - since)
        rows = zip(batch.frames, batch.results)
        return b"".join(_output(frame, own or result, meta) for frame, own in rows)

    def _columns(self, batch: Batch) -> Optional[Tuple[List[Any], Dict[str, Any]]]:
        """The arguments as lists. A member whose arguments do not fit fails alone; None where nobody is left."""
        context.batch.set(tuple(frame.meta for frame in batch.frames))
        bound = [self._bound(batch, place) for place in range(len(batch.frames))]
        rows = [one.arguments for one in bound if one is not None]
        if not rows:
            return None
        args: List[Any] = []
        kwargs: Dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            column = [row[name] for row in rows]
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                kwargs[name] = column
            else:
                args.append(column)
        return args, kwargs

    def _bound(self, batch: Batch, place: int) -> Optional[inspect.BoundArguments]:
        try:
            args, kwargs = arguments(batch.frames[place])
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            told = wrong_arguments(TypeError(f"{self._name.rpartition(':')[2]}(): {error}"), self._function)
            batch.results[place] = USER_ERROR, faults.as_json(told)
            return None
        except ValueError as error:
            batch.results[place] = failure(error, self._terms)
            return None
        bound.apply_defaults()
        return bound

    def _spread(self, batch: Batch, value: object) -> Result:
        """Give each member its own of the list that the function returned."""
        places = [place for place, own in enumerate(batch.results) if own is None]
        problem = wrong_result(value, len(places), self._name)
        if problem:
            return USER_ERROR, faults.as_json(faults.fault("BatchResultError", problem))
        results: Sequence[Result] = [self._encoded(one) for one in value]  # type: ignore[attr-defined]  # a list
        for place, result in zip(places, results):
            batch.results[place] = result
        return _NO_RESULT

    def _encoded(self, value: object) -> Result:
        try:
            return SUCCESS, encode(value)
        except Exception as error:  # noqa: BLE001 - encoding runs code of the value; the others are not to blame
            return failure(error, self._terms)


_NO_RESULT: Result = (SUCCESS, b"null")
"""Where each member has its own."""


def signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    """The signature by which inputs become lists.

    Raises:
        EntrypointError: it has no parameter, or such as take any number of arguments.
    """
    found = inspect.signature(function)
    if not found.parameters:
        raise EntrypointError(f"{name} takes no argument: a batched function takes one list for each of its arguments.")
    for parameter in found.parameters.values():
        if parameter.kind not in _NAMED:
            raise EntrypointError(f"{name} takes {parameter}: a batched function must name each of its arguments.")
    return found


def wrong_result(value: object, size: int, name: str) -> Optional[str]:
    """Why what a batched function returned is no list of results, or None."""
    want = "a batched function returns a list with one result for each input, in their order."
    got = f"{name} was given a batch of {size} {'input' if size == 1 else 'inputs'} and returned"
    if not isinstance(value, list):
        length = f" of length {len(value)}" if hasattr(type(value), "__len__") else ""  # type: ignore[arg-type]
        return f"{got} a value of type {type(value).__qualname__}{length}: {want}"
    return f"{got} a list of {len(value)}: {want}" if len(value) != size else None


def _output(frame: Frame, result: Result, meta: bytes) -> bytes:
    return pack(OUTPUT, frame.seq, frame.token, result[1], meta=meta, flags=result[0])
