"""What Consul lets a token do. It hides what a token may not read, and calls that an answer: so it is asked of it."""

from dataclasses import dataclass

from yurt.outbound.discovery.consul_api import ConsulApi, ConsulError, ConsulSettings, TokenUnknown, WithoutAcls

PREFIX = "yurt-"
"""What the names of services of functions begin with."""

RULES = {
    ("service", PREFIX): f'service_prefix "{PREFIX}" {{ policy = "read" }}',
    ("node", ""): 'node_prefix "" { policy = "read" }',
}
"""Of the policy of the token, by what they let it read. Consul shows a service only with its node."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a token is good for.

    Args:
        enforced: Consul has ACLs.
        known: it knows the token.
        lacking: the rules that the policy of the token is to have and has not.
    """

    enforced: bool = True
    known: bool = True
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a token is not good enough, and what to do, for people."""

    said: str
    todo: str


async def access_of(consul: ConsulApi) -> Access:
    """What the token may do now.

    Raises:
        ConsulError: that cannot be found out.
    """
    asked = [{"Resource": kind, "Segment": segment, "Access": "read"} for kind, segment in RULES]
    try:
        answers, _ = await consul.ask("/v1/internal/acl/authorize", asked)
    except WithoutAcls:
        return Access(enforced=False)
    except TokenUnknown:
        return Access(known=False)
    try:
        allowed = [bool(answer["Allow"]) for answer in answers]
    except (TypeError, KeyError) as error:
        raise ConsulError(f"What it says of the token is not understood: {answers!r:.200}") from error
    return Access(lacking=tuple(rule for rule, may in zip(RULES.values(), allowed, strict=True) if not may))


def shortfall(access: Access, settings: ConsulSettings, *, given: bool = True) -> Shortfall | None:
    """What is wrong with a token, and what to do; None if it is good enough.

    Args:
        given: there is a token at all.
    """
    rules, file = " ".join(RULES.values()), settings.token.path
    if not access.known:
        return Shortfall(
            f"Consul at {settings.address} does not know the token in {file}.",
            f"Write one that it knows into the file, which is read again by itself. Its policy: {rules}",
        )
    if not access.lacking:
        return None
    if not given:
        why = "was given no token" if file is None else f"has nothing in the file of its token, {file}"
        return Shortfall(
            f"Consul at {settings.address} has ACLs, and this server {why}.",
            f"Give the file of one with --consul-token-file. Its policy: {rules}",
        )
    return Shortfall(
        f"The token in {file} lacks rights in Consul at {settings.address}.",
        f"Add to its policy: {' '.join(access.lacking)}",
    )
