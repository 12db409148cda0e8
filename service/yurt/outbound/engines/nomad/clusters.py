"""Whether a cluster may be used at all, before anything is done with it."""

import re
from dataclasses import replace

from yurt.domain.functions import LiveFunction, Scaling
from yurt.domain.web import Kind, Web
from yurt.outbound.engines.nomad.client import NomadClient
from yurt.outbound.engines.nomad.errors import Denied, NomadError, Unreachable
from yurt.outbound.engines.nomad.settings import NomadSettings
from yurt.outbound.engines.nomad.spec import spec_of, variables_of
from yurt.ports import ClusterRefused

OLDEST = (1, 10)
"""What Yurt relies on (group disconnect, identities in files, atomic dispatch) is all there since."""

_ACLS_OFF = "ACL support disabled"


def way_out(error: NomadError, otherwise: str) -> str:
    """What to do about a cluster that does not answer, where its address may well be right."""
    if "certificate verify failed" in error.message:
        return "Name the authority of its certificate with --nomad-ca-file."
    if "No path to region" in error.message:
        return "See --nomad-region: the cluster knows no such region, or does not reach it."
    return otherwise


async def check_cluster(client: NomadClient, settings: NomadSettings) -> None:
    """Return if the cluster may be used.

    Raises:
        ClusterRefused: it may not, or cannot be reached.
    """
    try:
        await check_acls(client, settings)
        await check_version(client)
    except Unreachable as error:
        todo = way_out(error, "Give its address with --nomad-address.")
        raise ClusterRefused(f"Nomad at {settings.address} does not answer: {error.message}. {todo}") from error
    except NomadError as error:
        raise ClusterRefused(f"Nomad at {settings.address} refused: {error.message}. Run yurt doctor.") from error


async def check_acls(client: NomadClient, settings: NomadSettings) -> None:
    """Return if the token is one of the cluster's, or the operator does without.

    Raises:
        ClusterRefused: it is not.
        NomadError: that cannot be found out.
    """
    try:
        await client.own_token()
        if not settings.token():
            raise ClusterRefused(
                f"Nomad at {settings.address} has ACLs, and this server was given no token. Give the file of one with"
                " --nomad-token-file."
            )
    except Denied as error:
        raise ClusterRefused(
            f"Nomad at {settings.address} does not know this server's token. Give the file of one with"
            " --nomad-token-file."
        ) from error
    except NomadError as error:
        if _ACLS_OFF not in error.message:
            raise
        if not settings.without_acls:
            raise ClusterRefused(
                f"Nomad at {settings.address} has no ACLs, so that every function could command the whole cluster"
                " through the API socket in its secrets directory. Turn ACLs on (acl { enabled = true } on every agent,"
                " then nomad acl bootstrap), or start with --nomad-functions-may-command-cluster."
            ) from error


async def check_version(client: NomadClient) -> set[str]:
    """The versions of the servers.

    Raises:
        ClusterRefused: one is too old.
        NomadError: that cannot be found out.
    """
    builds = set()
    for member in await client.members():
        build = str((member.get("Tags") or {}).get("build", ""))
        builds.add(build)
        found = re.match(r"(\d+)\.(\d+)", build)
        if found is not None and (int(found[1]), int(found[2])) < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise ClusterRefused(
                f"Nomad server {member.get('Name')} is of version {build}; Yurt needs {wanted} or newer."
            )
    return builds


async def check_template(client: NomadClient, settings: NomadSettings, template: str) -> None:
    """Return if Nomad can make a job of the job specification.

    Raises:
        ClusterRefused: it cannot; the message has Nomad's words, with line and column.
    """
    probe = LiveFunction("fu-0", "ap-0", "main", "app", "function", 1, "main:f", None, Scaling(), image="image:tag")
    probes = [probe, replace(probe, gpu=("T4", "L4"))]
    if settings.driver == "raw_exec":
        probes.append(replace(probe, image=None))
    if settings.finds_servers:
        probes.append(replace(probe, web=Web(Kind.ASGI, "label")))
    try:
        for one in probes:
            await client.parse(template, variables_of(spec_of(one, settings)))
    except Unreachable as error:
        raise ClusterRefused(f"Nomad at {settings.address} does not answer: {error.message}.") from error
    except Denied as error:
        todo = f'The policy of its token needs: namespace "{settings.namespace}" {{ capabilities = ["submit-job", …] }}'
        raise ClusterRefused(f"Nomad does not let this server read a job specification. {todo}") from error
    except NomadError as error:
        where = f"in {settings.jobspecs} " if settings.jobspecs is not None else ""
        raise ClusterRefused(f"The job specification of functions {where}is wrong: {error.message}") from error
