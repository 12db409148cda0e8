"""Tokens and credentials over HTTP."""

import asyncio
import base64
import logging
from functools import partial
from pathlib import Path

import pytest

from tests.component.rest.conftest import Door
from yurt.domain.errors import InUse
from yurt.domain.records import Role, Token
from yurt.outbound.admin_token import write_admin_token
from yurt.usecases.principals import Principal
from yurt.usecases.tokens import CACHED, NewToken, digest


def _forms(token: NewToken) -> list[str]:
    pair = f"{token.token.id}:{token.secret}"
    basic = base64.b64encode(pair.encode()).decode()
    return [f"Bearer {pair}", f"bearer  {pair}", f"Basic {basic}", f"Bearer yurt_{token.token.id}_{token.secret}"]


async def test_every_form_of_credentials_is_taken(door: Door) -> None:
    for header in _forms(door.admin):
        answer = await door.ask("GET", "/v1/environments", headers={"Authorization": header})
        assert answer.status == 200, header


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer x",
        "Bearer tk-01kag5vvn0c6c3xz2v1jqhd4rt:wrong",
        "Bearer yurt_tk-01kag5vvn0c6c3xz2v1jqhd4rt",
        "Basic !!!",
        "Basic w7w6w7w=",
        "Digest a:b",
        "Bearer ü:ü",
    ],
)
async def test_wrong_credentials_are_401_with_both_challenges(door: Door, header: str) -> None:
    answer = await door.ask("GET", "/v1/environments", headers={"Authorization": header})

    assert (answer.status, answer.json()["code"]) == (401, "unauthenticated")
    challenges = answer.headers.getall("WWW-Authenticate")
    assert [challenge.split()[0] for challenge in challenges] == ["Bearer", "Basic"]


async def test_the_right_id_with_another_secret_is_401(door: Door) -> None:
    other = await door.token(Role.READ)
    header = f"Bearer {door.admin.token.id}:{other.secret}"

    assert (await door.ask("GET", "/v1/environments", headers={"Authorization": header})).status == 401


async def test_create_shows_the_secret_once_and_keeps_its_hash_alone(door: Door) -> None:
    body = {"name": "ci", "role": "invoke", "environment": "main", "expires_at": "2099-01-02T03:04:05+01:00"}

    made = await door.ask("POST", "/v1/tokens", json=body)
    token = made.json()
    shown = await door.ask("GET", made.headers["Location"])

    assert made.status == 201
    assert (token["role"], token["environment"], token["expires_at"]) == ("invoke", "main", "2099-01-02T02:04:05.000Z")
    assert token["token"] == f"yurt_{token['token_id']}_{token['token_secret']}"
    assert shown.json() == {key: value for key, value in token.items() if key not in {"token_secret", "token"}}
    kept = await door.store.get(Token, token["token_id"])
    assert kept is not None
    assert kept.secret_sha256 == digest(token["token_secret"])
    used = await door.ask("GET", "/v1/environments", headers={"Authorization": f"Bearer {token['token']}"})
    assert used.status == 200


async def test_roles_contain_the_ones_before(door: Door) -> None:
    reader = await door.token(Role.READ)

    reading = await door.ask("GET", "/v1/environments", token=reader)
    making = await door.ask("PUT", "/v1/environments/x", token=reader)

    assert reading.status == 200
    assert (making.status, making.json()["code"]) == (403, "forbidden")
    assert "admin" in making.json()["detail"]


async def test_a_revoked_token_is_forgotten_at_once(door: Door) -> None:
    other = await door.token(Role.READ)
    before = await door.ask("GET", "/v1/environments", token=other)

    revoked = await door.ask("DELETE", f"/v1/tokens/{other.token.id}")
    after = await door.ask("GET", "/v1/environments", token=other)
    again = await door.ask("DELETE", f"/v1/tokens/{other.token.id}")
    listed = (await door.ask("GET", "/v1/tokens")).json()["data"]
    shown = await door.ask("GET", f"/v1/tokens/{other.token.id}")

    assert (before.status, revoked.status, after.status, again.status) == (200, 204, 401, 204)
    assert [token["token_id"] for token in listed] == [door.admin.token.id]
    assert (shown.status, shown.json()["code"]) == (404, "not_found")


async def test_an_expired_token_is_refused_from_the_cache_too(door: Door) -> None:
    other = await door.token(Role.READ, expires_at=door.clock.now() + 60)
    before = await door.ask("GET", "/v1/environments", token=other)

    door.clock.advance(60)
    after = await door.ask("GET", "/v1/environments", token=other)

    assert (before.status, after.status) == (200, 401)


async def test_the_last_administrator_stays(door: Door) -> None:
    mine = door.admin.token.id
    await door.ask("PUT", "/v1/environments/staging")
    await door.token(Role.ADMIN, "staging")
    short = await door.token(Role.ADMIN, expires_at=door.clock.now() + 60)
    door.clock.advance(61)

    last = await door.ask("DELETE", f"/v1/tokens/{mine}")
    await door.token(Role.ADMIN)
    spare = await door.ask("DELETE", f"/v1/tokens/{mine}")

    assert short.token.environment is None
    assert (last.status, last.json()["code"]) == (409, "in_use")
    assert spare.status == 204


async def test_a_bound_administrator_keeps_to_its_environment(door: Door) -> None:
    await door.ask("PUT", "/v1/environments/staging")
    bound = await door.token(Role.ADMIN, "staging")

    mine = await door.ask("POST", "/v1/tokens", token=bound, json={"name": "x", "role": "read"})
    other = await door.ask("POST", "/v1/tokens", token=bound, json={"name": "x", "role": "read", "environment": "main"})
    root = await door.ask("GET", f"/v1/tokens/{door.admin.token.id}", token=bound)
    revoke = await door.ask("DELETE", f"/v1/tokens/{door.admin.token.id}", token=bound)
    listed = (await door.ask("GET", "/v1/tokens", token=bound)).json()["data"]

    assert mine.json()["environment"] == "staging"
    assert (other.status, other.json()["code"]) == (404, "environment_not_found")
    assert (root.status, revoke.status) == (404, 404)
    assert {token["token_id"] for token in listed} == {bound.token.id, mine.json()["token_id"]}


@pytest.mark.parametrize(
    ("expires_at", "status"),
    [
        ("2001-01-01T00:00:00Z", 409),
        ("0001-01-01T00:00:00+14:00", 409),
        ("soon", 422),
        ("2099-01-01T00:00:00", 422),
        (5, 422),
    ],
)
async def test_an_end_that_cannot_be_is_refused(door: Door, expires_at: object, status: int) -> None:
    body = {"name": "x", "role": "read", "expires_at": expires_at}

    answer = await door.ask("POST", "/v1/tokens", json=body)

    assert answer.status == status
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/expires_at"]


async def test_the_last_end_that_can_be_written(door: Door) -> None:
    body = {"name": "x", "role": "read", "expires_at": "9999-12-31T23:59:59-14:00"}

    made = await door.ask("POST", "/v1/tokens", json=body)

    assert made.json()["expires_at"] == "9999-12-31T23:59:59.000Z"


@pytest.mark.parametrize("name", ["", "a\x00b", "a\nb", "x" * 129])
async def test_a_name_of_a_token_is_one_short_line(door: Door, name: str) -> None:
    answer = await door.ask("POST", "/v1/tokens", json={"name": name, "role": "read"})

    assert (answer.status, answer.json()["errors"][0]["pointer"]) == (422, "/name")


async def test_every_field_at_fault_is_named_at_once(door: Door) -> None:
    answer = await door.ask("POST", "/v1/tokens", json={"nmae": "x", "role": "reader", "environment": 5})

    found = {error["pointer"]: error["message"] for error in answer.json()["errors"]}
    assert answer.status == 422
    assert set(found) == {"/name", "/nmae", "/role", "/environment"}
    assert "Did you mean name?" in found["/nmae"]


async def test_tokens_page_newest_first(door: Door) -> None:
    for _ in range(4):
        door.clock.advance(1)
        await door.token(Role.READ)
    whole = [token["token_id"] for token in (await door.ask("GET", "/v1/tokens")).json()["data"]]

    first = (await door.ask("GET", "/v1/tokens?limit=3")).json()
    rest = (await door.ask("GET", f"/v1/tokens?limit=3&cursor={first['next_cursor']}")).json()

    assert [token["token_id"] for token in [*first["data"], *rest["data"]]] == whole
    assert whole == sorted(whole, reverse=True)
    assert "next_cursor" not in rest


async def test_the_cache_is_bounded(door: Door) -> None:
    tokens = door.services.tokens
    pair = (door.admin.token.id, door.admin.secret)
    for number in range(CACHED + 1):
        await tokens.verify(*pair, number.to_bytes(4, "big"))

    assert tokens.recall((0).to_bytes(4, "big")) is None
    assert tokens.recall(CACHED.to_bytes(4, "big")) is not None


async def test_a_token_that_is_revoked_while_it_is_read_is_not_remembered(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await door.token(Role.READ)
    tokens, read = door.services.tokens, door.store.get

    async def revoked_after(kind: type[Token], *key: str | int) -> Token | None:
        found = await read(kind, *key)
        monkeypatch.setattr(door.store, "get", read)
        await tokens.revoke(Principal("tk-1", Role.ADMIN, None), other.token.id)
        return found

    monkeypatch.setattr(door.store, "get", revoked_after)
    await tokens.verify(other.token.id, other.secret, b"proof")

    assert tokens.recall(b"proof") is None


async def test_no_secret_stands_in_the_log_or_in_a_repr(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        made = (await door.ask("POST", "/v1/tokens", json={"name": "ci", "role": "read"})).json()
        await door.ask("GET", "/v1/environments", headers={"Authorization": f"Bearer x:{made['token_secret']}"})

    assert made["token_secret"] not in caplog.text + "".join(door.log_text)
    assert door.admin.secret not in repr(door.admin)


async def test_the_first_start_makes_the_administrator_and_its_file(door: Door, tmp_path: Path) -> None:
    door.store.kept.clear()
    await door.services.tokens.ensure_admin(partial(write_admin_token, tmp_path))
    file = tmp_path / "admin-token"
    word = file.read_text()
    await door.services.tokens.ensure_admin(partial(write_admin_token, tmp_path))

    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["admin-token"]
    assert word == file.read_text()
    answer = await door.ask("GET", "/v1/tokens", headers={"Authorization": f"Bearer {word.strip()}"})
    assert answer.json()["data"][0]["role"] == "admin"


async def test_two_administrators_cannot_revoke_each_other_at_once(door: Door) -> None:
    other = await door.token(Role.ADMIN)
    root = Principal("tk-1", Role.ADMIN, None)

    ends = await asyncio.gather(
        door.services.tokens.revoke(root, door.admin.token.id),
        door.services.tokens.revoke(root, other.token.id),
        return_exceptions=True,
    )

    assert [type(end) for end in ends] == [type(None), InUse]
