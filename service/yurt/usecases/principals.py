"""Who is asking."""

from dataclasses import dataclass

from yurt.domain.records import Role

_RANK = {role: rank for rank, role in enumerate((Role.READ, Role.INVOKE, Role.DEPLOY, Role.ADMIN))}


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller, known by a token.

    Args:
        token_id: the token's id; calls and changes are recorded under it.
        role: what it may do; None for somebody unknown, who may do nothing.
        environment: the only one it may see, or None for all of them.
        app_id: the only app whose functions it may call, and then it may do nothing else; or None.
    """

    token_id: str
    role: Role | None
    environment: str | None
    app_id: str | None = None

    def allows(self, role: Role) -> bool:
        """Whether this caller may do what needs `role`."""
        return self.role is not None and _RANK[self.role] >= _RANK[role]

    def sees(self, environment: str) -> bool:
        """Whether this caller may know of what is in `environment`; if not, the answer is `NotFound`."""
        return self.environment is None or self.environment == environment

    def reaches(self, environment: str, app_id: str) -> bool:
        """Whether this caller may know of that app, which is in `environment`, and of its functions and calls."""
        return self.sees(environment) and (self.app_id is None or self.app_id == app_id)


NOBODY = Principal(token_id="", role=None, environment="")
"""The caller of an open operation: no role, and no environment bears an empty name."""
