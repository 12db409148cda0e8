"""Who may do what in a stack's Consul: its tokens, each in a file, and the policies behind them."""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.stack.http import Refused, call

AGENTS_POLICY = """\
node_prefix "" {
  policy = "write"
}
service_prefix "" {
  policy = "read"
}
"""
"""What Consul's own agents may do: keep their node in the catalog."""

NOMAD_POLICY = """\
agent_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "write"
}
"""
"""What Nomad's agents may do: register services."""

TASKS_POLICY = """\
service_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
"""
"""What templates of tasks may read. Nomad's agents do not lend them their own token."""

AUDIENCE = "consul.io"
AUTH_METHOD = "nomad-workloads"
"""As Nomad calls it unless it is told otherwise."""

YURT_POLICY = """\
service_prefix "yurt-" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
"""
"""What Yurt's token may do, and no more."""


@dataclass(frozen=True)
class ConsulTokens:
    """The secrets of Consul's tokens. They are known before it starts: its configuration has the first two.

    Attributes:
        management: may do everything.
        agents: of Consul's own agents.
        nomad: of Nomad's agents.
        yurt: with the rights of Yurt.
    """

    management: str
    agents: str
    nomad: str
    yurt: str


def token_files(home: Path) -> dict[str, Path]:
    """Where the token of each is kept, by the names of `ConsulTokens`."""
    names = {"yurt": "consul.token"}
    return {who: home / names.get(who, f"consul-{who}.token") for who in ConsulTokens.__annotations__}


def consul_tokens(home: Path) -> ConsulTokens:
    """The tokens of a stack; made where they are missing."""
    files = token_files(home)
    for path in files.values():
        if not path.exists():
            write_secret(path, str(uuid.uuid4()))
    return ConsulTokens(**{who: path.read_text() for who, path in files.items()})


def set_up_consul(address: str, tokens: ConsulTokens) -> bool:
    """Have Consul know the tokens; what it knows already stays as it is.

    Raises:
        Refused: it does not answer, as one without a leader.
    """
    if _knows(address, tokens.yurt):  # the last of them
        return True
    for name, secret, rules in (
        ("agents", tokens.agents, AGENTS_POLICY),
        ("nomad", tokens.nomad, NOMAD_POLICY),
        ("yurt", tokens.yurt, YURT_POLICY),
    ):
        _make(address, tokens.management, "policy", {"Name": name, "Rules": rules})
        _make(address, tokens.management, "token", {"SecretID": secret, "Policies": [{"Name": name}]})
    return True


def trust_nomad(consul: str, nomad: str, tokens: ConsulTokens) -> bool:
    """Have Consul take the identities of Nomad's tasks for tokens that may read services.

    Raises:
        Refused: Consul does not answer, or does not reach Nomad.
    """
    management = tokens.management
    if call("GET", f"{consul}/v1/acl/binding-rules?authmethod={AUTH_METHOD}", management):  # the last of it
        return True
    _make(consul, management, "policy", {"Name": "nomad-tasks", "Rules": TASKS_POLICY})
    _make(consul, management, "role", {"Name": "nomad-tasks-default", "Policies": [{"Name": "nomad-tasks"}]})
    claims = ("nomad_namespace", "nomad_job_id", "nomad_task", "nomad_service")
    method = {
        "Name": AUTH_METHOD,
        "Type": "jwt",
        "Config": {
            "JWKSURL": f"{nomad}/.well-known/jwks.json",
            "JWTSupportedAlgs": ["RS256"],
            "BoundAudiences": [AUDIENCE],
            "ClaimMappings": {claim: claim for claim in claims},
        },
    }
    _make(consul, management, "auth-method", method)
    rule = {
        "AuthMethod": AUTH_METHOD,
        "BindType": "role",
        "BindName": "nomad-tasks-${value.nomad_namespace}",
        "Selector": '"nomad_service" not in value',
    }
    _make(consul, management, "binding-rule", rule)
    return True


def write_secret(path: Path, secret: str) -> None:
    """Write a file that its owner alone can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secret)


def _knows(address: str, token: str) -> bool:
    try:
        call("GET", f"{address}/v1/acl/token/self", token)
    except Refused as error:
        if "ACL not found" not in str(error):
            raise
        return False
    return True


def _make(address: str, token: str, what: str, body: Mapping[str, object]) -> None:
    """Make a policy or a token, unless an earlier try got so far."""
    try:
        call("PUT", f"{address}/v1/acl/{what}", token, body)
    except Refused as error:
        if not any(known in str(error) for known in ("already exists", "already in use")):
            raise
