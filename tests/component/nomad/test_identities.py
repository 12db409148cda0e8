"""Who a container is, by what Nomad signed."""

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.component.nomad.conftest import Rig
from yurt.domain.errors import Unauthenticated, Unavailable


async def started(rig: Rig, *names: str) -> None:
    """Containers that have their places."""
    await rig.open()
    for name in names:
        await rig.run(name)


async def test_the_identity_of_its_own_allocation_is_a_containers(rig: Rig) -> None:
    await started(rig, "co-1")
    await rig.engine.identities.vouch("co-1", rig.double.identity(rig.allocation_of()))


async def test_a_container_cannot_be_another_one(rig: Rig) -> None:
    await started(rig, "co-1", "co-2")
    with pytest.raises(Unauthenticated):
        await rig.engine.identities.vouch("co-2", rig.double.identity(rig.allocation_of("co-1")))


async def test_an_identity_dies_with_its_allocation(rig: Rig) -> None:
    await started(rig, "co-1")
    token = rig.double.identity(rig.allocation_of())
    rig.double.cluster.finish(rig.allocation_of(), 0)
    await rig.end_of()
    with pytest.raises(Unauthenticated):
        await rig.engine.identities.vouch("co-1", token)


@pytest.mark.parametrize(
    "changes",
    [
        {"ttl_s": -3600},
        {"audience": "consul.io"},
        {"nomad_namespace": "other"},
        {"nomad_allocation_id": "00000000-0000-0000-0000-000000000000"},
        {"nbf": int(time.time()) + 3600},
    ],
)
async def test_what_is_out_of_its_time_or_of_another_place_is_refused(rig: Rig, changes: dict[str, object]) -> None:
    await started(rig, "co-1")
    token = rig.double.identity(rig.allocation_of(), **changes)  # type: ignore[arg-type]
    with pytest.raises(Unauthenticated):
        await rig.engine.identities.vouch("co-1", token)


def without_signature(token: str) -> str:
    """The same claims, signed by nobody."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    return f"{head}.{token.split('.')[1]}."


def signed_by_another(token: str) -> str:
    """The same claims and the same key id, signed with another key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": jwt.get_unverified_header(token)["kid"]})


def signed_by_a_secret(token: str) -> str:
    """The same claims, signed with a secret: some libraries take a public key for one."""
    claims = jwt.decode(token, options={"verify_signature": False})
    kid = jwt.get_unverified_header(token)["kid"]
    return jwt.encode(claims, "a secret of thirty-two bytes or more", algorithm="HS256", headers={"kid": kid})


def some_words(_: str) -> str:
    """No identity, though it has three parts."""
    return "no.token.at-all"


@pytest.mark.parametrize(
    "forge",
    [without_signature, signed_by_another, signed_by_a_secret, some_words, lambda _: "nonsense", lambda _: ""],
)
async def test_a_forged_identity_is_refused(rig: Rig, forge: object) -> None:
    await started(rig, "co-1")
    assert callable(forge)
    with pytest.raises(Unauthenticated):
        await rig.engine.identities.vouch("co-1", forge(rig.double.identity(rig.allocation_of())))


async def test_tokens_with_keys_of_their_own_do_not_have_the_keys_fetched_each_time(rig: Rig) -> None:
    await started(rig, "co-1")
    token = rig.double.identity(rig.allocation_of())
    claims = jwt.decode(token, options={"verify_signature": False})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for number in range(5):
        forged = jwt.encode(claims, key, algorithm="RS256", headers={"kid": f"key-{number}"})
        with pytest.raises(Unauthenticated):
            await rig.engine.identities.vouch("co-1", forged)
    assert sum("jwks" in path for path in rig.double.requests) == 2  # when the engine was opened, and once since


async def test_the_key_of_identities_may_change(rig: Rig) -> None:
    await started(rig, "co-1")
    rig.double.rotate_key()
    await rig.engine.identities.vouch("co-1", rig.double.identity(rig.allocation_of()))


async def test_containers_of_an_earlier_server_are_known_though_nomad_is_away_again(rig: Rig) -> None:
    await started(rig, "co-1")
    token = rig.double.identity(rig.allocation_of())
    await rig.reopen()
    rig.double.knobs.answers["/"] = (500, "No cluster leader")
    await rig.engine.identities.vouch("co-1", token)


@pytest.mark.parametrize("answer", [(500, "No cluster leader"), (200, "{}")])
async def test_without_keys_nobody_is_told_to_end(rig: Rig, answer: tuple[int, str]) -> None:
    await started(rig, "co-1")
    rig.double.knobs.answers["/.well-known/jwks.json"] = answer
    rig.double.rotate_key()
    with pytest.raises(Unavailable):
        await rig.engine.identities.vouch("co-1", rig.double.identity(rig.allocation_of()))


@pytest.mark.parametrize("answer", [(500, "No cluster leader"), (403, "Permission denied"), (500, "rpc error: EOF")])
async def test_where_nomad_does_not_say_whose_an_identity_is_nobody_is_told_to_end(
    rig: Rig, answer: tuple[int, str]
) -> None:
    await started(rig, "co-1")
    token = rig.double.identity(rig.allocation_of())
    rig.double.knobs.answers["/v1/allocation/"] = answer
    with pytest.raises(Unavailable):
        await rig.engine.identities.vouch("co-2", token)
