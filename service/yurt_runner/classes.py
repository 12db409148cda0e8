"""Classes: one object for each container, made before the first input; inputs are calls of its methods."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence

from yurt_runner import faults
from yurt_runner.attempt import USER_ERROR, Result, arguments, interruption, output, success
from yurt_runner.errors import clean, describe, raised_at_call, signature_of, wrong_arguments
from yurt_runner.fork import Links
from yurt_runner.load import EntrypointError, is_async, is_generator
from yurt_runner.wire import Frame

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from yurt_runner.class_threads import Threads
    from yurt_runner.yields import Yields

Method = Callable[..., Any]
Call = Callable[[Method], Any]
"""Calls a hook where the worker runs user code."""


class Leave(BaseException):
    """The worker is to end; raised where it waits for something to do."""


class Instance:
    """The object, with what is asked of it.

    Args:
        found: what the entrypoint names.
        welcome: the meta part of WELCOME.

    Raises:
        EntrypointError: it is no class, or lacks a method or a hook, or has one that cannot be called as it is to be.
        BaseException: whatever its `__init__` raises.
    """

    def __init__(self, found: Any, welcome: Dict[str, Any]) -> None:
        self._name = welcome["entrypoint"]
        asked = welcome["class"]
        if not isinstance(found, type):
            kind = type(found).__qualname__
            raise EntrypointError(f'{self._name} is of type {kind}, and kind is "class": name a class.')
        self._object = made(found, self._name, read_parameters(asked.get("parameters") or []))
        self.methods = {name: self._bound("methods", name) for name in asked["methods"]}
        self._enter = [self._bound("enter", name) for name in asked.get("enter") or []]
        self._exit = [self._bound("exit", name) for name in asked.get("exit") or []]
        self._loop: Optional[AbstractEventLoop] = None

    @property
    def is_async(self) -> bool:
        """Whether anything of it needs an event loop."""
        return any(map(is_async, (*self.methods.values(), *self._enter, *self._exit)))

    @property
    def leaves(self) -> bool:
        """Whether there is something to do at the end."""
        return bool(self._exit)

    def _bound(self, key: str, name: str) -> Method:
        found = getattr(self._object, name, None)
        if found is None:
            own = sorted(one for one in dir(self._object) if not one.startswith("_"))
            raise EntrypointError(
                f"{key}: {self._name} has no method {name!r}; it has {', '.join(own[:50]) or 'none'}."
            )
        if not callable(found):
            raise EntrypointError(f"{key}: {self._name}.{name} is of type {type(found).__qualname__}, not a method.")
        if key != "methods" and is_generator(found):
            raise EntrypointError(f"{key}: {self._name}.{name} is a generator: a hook is called once, and returns.")
        method: Method = found
        return method

    def call(self, hook: Method) -> Any:
        """Call a hook where no event loop runs: coroutine functions share one of their own."""
        if not is_async(hook):
            return hook()
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(hook())

    def enter(self, call: Call) -> None:
        """Call the hooks that make it ready.

        Raises:
            BaseException: whatever they raise.
        """
        for hook in self._enter:
            call(hook)

    def exit(self, call: Call, source: str) -> None:
        """Call the hooks for the end. One that raises is told on standard error, and the next one is called."""
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for hook in self._exit:
            _call_exit(call, hook, source)


def _call_exit(call: Call, hook: Method, source: str) -> None:
    try:
        call(hook)
    except BaseException as error:  # noqa: BLE001 - whatever it raises, SystemExit too, ends this hook alone
        facts = describe(error, source)
        name = getattr(hook, "__name__", "?")
        sys.stderr.write(f"yurt: the exit hook {name} raised {facts['type']}: {facts['message']}\n{facts['traceback']}")


def read_parameters(rows: Sequence[Sequence[Any]]) -> Dict[str, Any]:
    """Parameters as Python has them, from (name, type, value)."""
    return {name: base64.b64decode(value) if kind == "bytes" else value for name, kind, value in rows}


def made(found: type, name: str, parameters: Dict[str, Any]) -> Any:
    """An object of the class: its `__init__` takes the parameters by name, else they become attributes.

    Raises:
        EntrypointError: `__init__` does not take them.
        BaseException: whatever it raises.
    """
    if found.__init__ is object.__init__:  # type: ignore[misc]  # it is the class's own that is asked for
        bare = found()
        for key, value in parameters.items():
            setattr(bare, key, value)
        return bare
    try:
        return found(**parameters)
    except TypeError as error:
        if not raised_at_call(error.__traceback__):
            raise
        given = ", ".join(parameters) or "no parameters"
        raise EntrypointError(f"{name} cannot be made with {given}: {error}. It is {signature_of(found)}.") from None


class OfClass:
    """The work of a class; see `attempt.Work`."""

    def __init__(self, instance: Instance, links: Links) -> None:
        self._methods, self._links = instance.methods, links
        self.is_async = instance.is_async
        self._yields = _yields(instance, links)
        self._threads: Optional[Threads] = None
        if self.is_async and links.page.rows > 1 and not all(map(is_async, self._methods.values())):
            from yurt_runner.class_threads import Threads

            self._threads = Threads(links.page.rows)

    def run(self, frame: Frame) -> Result:
        """See `Work`."""
        method = self._method(frame)
        if method is None:
            return self._no_method(frame)
        args, kwargs = arguments(frame)
        try:
            value = method(*args, **kwargs)
        except TypeError as error:
            if raised_at_call(error.__traceback__):
                return USER_ERROR, faults.as_json(wrong_arguments(error, method))
            raise
        if self._yields is not None and is_generator(method):
            return self._yields.run(frame, value)
        return success(value)

    async def run_async(self, frame: Frame) -> Result:
        """See `Work`. Plain methods run in a thread if others may run meanwhile, else as they would alone."""
        method = self._method(frame)
        if method is None or not is_async(method):
            if method is None or self._threads is None:
                return self._alone(frame)
            return await self._threads.run(self.run, frame)
        args, kwargs = arguments(frame)
        try:
            made = method(*args, **kwargs)
        except TypeError as error:
            if raised_at_call(error.__traceback__):
                return USER_ERROR, faults.as_json(wrong_arguments(error, method))
            raise
        if self._yields is not None and is_generator(method):
            return await self._yields.run_async(frame, made)
        return success(await made)

    def output(self, frame: Frame, result: Result, since: float) -> bytes:
        """See `Work`."""
        return output(frame, result, since) if self._yields is None else self._yields.output(frame, result, since)

    def _method(self, frame: Frame) -> Optional[Method]:
        name = json.loads(frame.meta or b"{}").get("method")
        if name is None and len(self._methods) == 1:
            return next(iter(self._methods.values()))
        return self._methods.get(name)

    def _no_method(self, frame: Frame) -> Result:
        """The call was made for a revision that had it, or for a plain function."""
        name = json.loads(frame.meta or b"{}").get("method")
        has = f"This revision of the class has {', '.join(self._methods)}."
        told = f"The call names no method. {has}" if name is None else f"There is no method {name!r}. {has}"
        return USER_ERROR, faults.as_json(faults.fault("NoSuchMethod", clean(told, 1000)))

    def _alone(self, frame: Frame) -> Result:
        """Run a plain method while the event loop stands still: interrupts come as they do without a loop."""
        page, key = self._links.page, (frame.seq, frame.token)
        armed: List[bool] = [False]

        def interrupt(*_: object) -> None:
            seq, token, reason = page.asked()
            if armed[0] and (seq, token) == key:
                armed[0] = False
                raise interruption(reason)

        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            armed[0] = True
            return self.run(frame)
        finally:
            armed[0] = False
            signal.signal(signal.SIGUSR1, before)
            signal.siginterrupt(signal.SIGUSR1, False)  # noqa: FBT003 - it takes it by place alone


def _yields(instance: Instance, links: Links) -> Optional[Yields]:
    """What sends items, where a method is a generator."""
    if not any(map(is_generator, instance.methods.values())):
        return None
    from yurt_runner.yields import Yields

    return Yields(links)


def leave_at_term(links: Links) -> None:
    """From here on the supervisor's SIGTERM, which comes when it has every output, raises `Leave`."""

    def leave(*_: object) -> None:
        die_unless_leaving(links)
        raise Leave

    signal.signal(signal.SIGTERM, leave)


def die_unless_leaving(links: Links) -> None:
    """Do what SIGTERM does to any process, if it did not come from the supervisor."""
    if not links.page.leaving():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
