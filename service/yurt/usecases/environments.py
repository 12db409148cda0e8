"""Environments: named spaces of apps."""

from yurt.domain.changes import Remove, Save
from yurt.domain.errors import FieldError, Forbidden, InUse, Invalid, NotFound
from yurt.domain.naming import MAIN, name_problem, shown
from yurt.domain.records import App, Environment, Role, Secret
from yurt.ports import Clock, Store
from yurt.usecases.principals import Principal


class Environments:
    """What a caller can ask of environments.

    They are few and read with nearly every request, so they are also kept in memory; this is their only writer.

    Args:
        store: where they are kept.
        clock: for the time of their making.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, Environment] = {}

    async def open(self) -> None:
        """Read what the store has and make sure of `main`. Call it once, before anything else."""
        self._known = {found.name: found for found in await self._store.records.find(Environment, {})}
        if MAIN not in self._known:
            await self._make(MAIN)

    def resolve(self, principal: Principal, given: str | None) -> str:
        """The environment that a request means: the given one, else the token's, else `main`.

        It does not wait, so a caller that writes at once after it cannot lose a race against `delete`.

        Raises:
            NotFound: there is none of that name, or the caller may not know of it.
        """
        name = given if given is not None else principal.environment or MAIN
        if name not in self._known or not principal.sees(name):
            raise self._unknown(name, principal)
        return name

    def get(self, principal: Principal, name: str) -> Environment:
        """One environment.

        Raises:
            NotFound: there is none of that name, or the caller may not know of it.
        """
        return self._known[self.resolve(principal, name)]

    def visible(self, principal: Principal) -> list[Environment]:
        """All that the caller may know of, by name."""
        return [self._known[name] for name in self._names(principal)]

    async def put(self, principal: Principal, name: str) -> tuple[Environment, bool]:
        """Make sure that there is an environment of that name; True where it is new.

        Raises:
            Invalid: the name is not one.
            Forbidden: the caller's token is bound to another environment.
        """
        if message := name_problem(name):
            raise Invalid(message, errors=[FieldError("{name}", message)])
        if name in self._known and principal.sees(name):
            return self._known[name], False
        self._must_see_all(principal)
        return await self._make(name), True

    async def delete(self, principal: Principal, name: str) -> None:
        """Remove an environment without live apps and secrets.

        Raises:
            NotFound: there is none of that name.
            InUse: it has live apps or secrets, or it is `main`.
            Forbidden: the caller's token is bound to an environment.
        """
        self._must_see_all(principal)
        if name == MAIN:
            raise InUse("The environment main is always there; it cannot be deleted.")
        self.resolve(principal, name)
        environment = self._known.pop(name)  # first, so that no new app resolves it while we look
        removed = False
        try:
            await self._refuse_in_use(name)
            await self._store.journal.write(Remove(Environment, (name,)))
            removed = True
        finally:
            if not removed:
                self._known[name] = environment

    async def _refuse_in_use(self, name: str) -> None:
        await self._store.journal.flush()
        apps = await self._store.records.find(App, {"environment": name, "stopped_at": None}, limit=3)
        if apps:
            names = ", ".join(app.name for app in apps)
            raise InUse(f"The environment {name} has live apps, such as {names}. Stop them first.")
        secrets = await self._store.records.find(Secret, {"environment": name}, limit=3)
        if secrets:
            names = ", ".join(secret.name for secret in secrets)
            raise InUse(f"The environment {name} has secrets, such as {names}. Delete them first.")

    async def _make(self, name: str) -> Environment:
        environment = Environment(name=name, created_at=self._clock.now())
        await self._store.journal.write(Save(environment))
        self._known[name] = environment
        return environment

    def _names(self, principal: Principal) -> list[str]:
        return sorted(filter(principal.sees, self._known))

    @staticmethod
    def _must_see_all(principal: Principal) -> None:
        if principal.environment is not None:
            raise Forbidden(
                f"This token is bound to the environment {principal.environment}. Making and deleting environments "
                "needs a token for all of them."
            )

    def _unknown(self, name: str, principal: Principal) -> NotFound:
        known = ", ".join(self._names(principal)) or "none"
        may_make = principal.allows(Role.ADMIN) and principal.environment is None and not name_problem(name)
        hint = f" PUT /v1/environments/{name} makes it." if may_make else ""
        return NotFound(
            f"There is no environment {shown(name)} that this token can see. There are: {known}.{hint}",
            code="environment_not_found",
        )
