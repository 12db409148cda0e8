"""Callbacks: ordered with a call, delivered after its end; and the secrets that sign them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from yurt.domain.callbacks import (
    MAX_SECRETS,
    ROTATION_S,
    SECRET_BYTES,
    Network,
    delivered,
    host_of,
    literal_problem,
    new_secret,
    not_delivered,
    signed_headers,
)
from yurt.domain.changes import Change, Remove, Save
from yurt.domain.errors import FieldError, InUse, Invalid
from yurt.domain.records import Callback, CallbackSecret, Result
from yurt.ports import Clock, NotDelivered, Post, Store
from yurt.usecases.environments import Environments
from yurt.usecases.principals import Principal


class Callbacks:
    """What is asked of callbacks, by callers and by the loop that delivers them.

    Args:
        store: where they and their secrets are kept.
        post: sends them.
        environments: each has secrets of its own.
        random_bytes: a source of secrets, such as `secrets.token_bytes`.
        allowed: networks that are not public and may be reached all the same.

    Attributes:
        news: set when a call with a callback has ended, or the first callback was ordered.
        used: whether the store has any callbacks.
    """

    def __init__(
        self,
        store: Store,
        post: Post,
        clock: Clock,
        environments: Environments,
        random_bytes: Callable[[int], bytes],
        allowed: Sequence[Network] = (),
    ) -> None:
        self.news = asyncio.Event()
        self.used = False
        self._store = store
        self._post = post
        self._clock = clock
        self._environments = environments
        self._random_bytes = random_bytes
        self._allowed = allowed
        self._making = asyncio.Lock()

    async def open(self) -> None:
        """Look whether there are any. Call it once, before anything else."""
        self.used = bool(await self._store.records.find(Callback, {}, limit=1))

    # ------------------------------------------------------------------ of calls

    def order(self, url: str, environment: str) -> Callable[[int], tuple[Change, ...]]:
        """What to write with a call of a given number, so that its end is told to `url`.

        Args:
            url: of the right form, see `yurt.domain.callbacks.url_problem`.
            environment: of the function; its secrets sign.

        Raises:
            Invalid: the host is an address that callbacks do not go to.
        """
        problem = literal_problem(url, self._allowed)
        if problem is not None:
            message = f"{problem}; the operator of the server can open networks with --callback-allow"
            raise Invalid(f"/callback_url: {message}", errors=[FieldError("/callback_url", message)])
        self.used = True
        self.news.set()
        host = host_of(url)
        return lambda seq: (Save(Callback(seq, environment, url, host)),)

    def ended(self, _result: Result) -> None:
        """A call with a callback has ended."""
        self.news.set()

    async def of(self, seq: int) -> Callback | None:
        """The callback of a call, if it has one."""
        return await self._store.records.get(Callback, seq) if self.used else None

    # ------------------------------------------------------------------ secrets

    async def secrets(self, principal: Principal, environment: str) -> list[CallbackSecret]:
        """The secrets in use in an environment, the current one first; made on first use.

        Raises:
            NotFound: there is no such environment.
        """
        self._environments.resolve(principal, environment)
        return await self._secrets(environment)

    async def rotate(self, principal: Principal, environment: str) -> list[CallbackSecret]:
        """Make a new secret; the current one is used beside it for another day.

        Returns:
            The secrets now in use, the new one first.

        Raises:
            NotFound: there is no such environment.
            InUse: there are as many in use as may be.
        """
        self._environments.resolve(principal, environment)
        async with self._making:
            now = self._clock.now()
            kept = await self._store.records.find(CallbackSecret, {"environment": environment})
            live = [secret for secret in kept if _in_use(secret, now)]
            if len(live) >= MAX_SECRETS:
                raise InUse(
                    f"{len(live)} callback secrets of {environment} are in use, which is the limit: a replaced one is "
                    "used for another 24 h. Come again when the first of them has ended."
                )
            retired = [replace(secret, expires_at=now + ROTATION_S) for secret in live if secret.expires_at is None]
            new = self._new(environment, kept[0].number + 1 if kept else 1)
            gone = (Remove(CallbackSecret, (environment, old.number)) for old in kept if not _in_use(old, now))
            await self._store.journal.write(Save(new), *map(Save, retired), *gone)
        return await self._secrets(environment)

    async def _secrets(self, environment: str) -> list[CallbackSecret]:
        async with self._making:  # two at once would each make the first one
            kept = await self._store.records.find(CallbackSecret, {"environment": environment})
            if kept:
                return [secret for secret in kept if _in_use(secret, self._clock.now())]
            first = self._new(environment, 1)
            await self._store.journal.write(Save(first))
            return [first]

    def _new(self, environment: str, number: int) -> CallbackSecret:
        secret = new_secret(self._random_bytes(SECRET_BYTES))
        return CallbackSecret(environment, number, secret, self._clock.now())

    # ------------------------------------------------------------------ delivery

    async def due(self, *, busy: Sequence[str], limit: int) -> list[Callback]:
        """Callbacks whose time has come, but for those to the hosts `busy`."""
        return await self._store.callbacks.due(self._clock.now(), busy=busy, limit=limit)

    async def attempt(self, callback: Callback, message_id: str, body: bytes | None) -> Callback:
        """Try to deliver one.

        Args:
            callback: as it is kept.
            message_id: the same for every attempt.
            body: what to tell, or None where the call is no longer kept.

        Returns:
            The callback as it is now to be kept.
        """
        if body is None:
            return self._failed(callback, NotDelivered("The call is no longer kept.", final=True))
        secrets = [secret.secret for secret in await self._secrets(callback.environment)]
        headers = signed_headers(secrets, message_id, self._clock.now(), body)
        try:
            await self._post.post(callback.url, headers, body)
        except NotDelivered as failure:
            return self._failed(callback, failure)
        return delivered(callback, self._clock.now())

    def _failed(self, callback: Callback, why: NotDelivered) -> Callback:
        chance = self._random_bytes(1)[0] / 255
        return not_delivered(callback, self._clock.now(), why.message, final=why.final, jitter=chance)

    async def keep(self, callback: Callback) -> None:
        """Write down what became of an attempt.

        Raises:
            Unavailable: the store is away. It may still be written.
        """
        await self._store.journal.write(Save(callback))


def _in_use(secret: CallbackSecret, now: float) -> bool:
    return secret.expires_at is None or secret.expires_at > now
