"""What containers call other functions of their app with: a credential that lives and dies with the container."""

import base64
import hmac
from collections.abc import Mapping

from yurt.domain.errors import Unauthenticated
from yurt.domain.records import Role
from yurt.pools.lives import Lives
from yurt.pools.members import Member
from yurt.usecases.principals import Principal

_ABOUT = b"yurt container token\0"
"""Keeps these apart from all else that is made with the store's key."""

_WRONG = "This is not the token of a container that lives and may call functions."


class ContainerTokens:
    """Makes and checks them. Nothing is stored: a token follows from the container's id and the store's key.

    Args:
        key: the store's secret.
        lives: who lives.
        url: where containers reach this server, without path.
    """

    def __init__(self, key: bytes, lives: Lives, url: str) -> None:
        self._key = key
        self._lives = lives
        self._url = url

    def variables(self, member: Member) -> Mapping[str, str]:
        """What a container has in its environment to call with; nothing where its definition does not ask for it."""
        if not member.function.may_call:
            return {}
        return {"YURT_URL": self._url, "YURT_TOKEN": f"{member.id}:{self._secret(member.id)}"}

    def verify(self, container_id: str, secret: str) -> Principal:
        """Who a container is: all containers of an app are one caller.

        Raises:
            Unauthenticated: it does not live, may not call, or the secret is another's.
        """
        entry = self._lives.get(container_id)
        if not hmac.compare_digest(self._secret(container_id), secret) or entry is None:
            raise Unauthenticated(_WRONG)
        member = entry[1]
        function = member.function
        if not function.may_call or member.record.fenced or member.ended is not None:
            raise Unauthenticated(_WRONG)
        return Principal(function.app_id, Role.INVOKE, function.environment, function.app_id)

    def _secret(self, container_id: str) -> str:
        digest = hmac.digest(self._key, _ABOUT + container_id.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
