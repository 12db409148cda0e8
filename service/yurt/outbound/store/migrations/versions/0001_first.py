"""The first schema.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REAL: sa.types.TypeEngine[Any] = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTES = sa.LargeBinary()


def _must(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, autoincrement=False)


def _may(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def _create(name: str, key: tuple[str, ...], *columns: sa.Column[Any], rowid: bool = False) -> None:
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key), sqlite_strict=True, sqlite_with_rowid=rowid)


def upgrade() -> None:
    """Create every table."""
    _names_and_apps()
    _functions()
    _credentials()
    _containers()
    _calls()
    _open_inputs()
    _create(
        "meta",
        ("one",),
        _must("one", INTEGER),
        _must("installation", TEXT),
        _must("key", BYTES),
        _must("epoch", INTEGER),
        rowid=True,
    )


def _names_and_apps() -> None:
    _create("environments", ("name",), _must("name", TEXT), _must("created_at", REAL))
    _create(
        "apps",
        ("id",),
        _must("id", TEXT),
        _must("environment", TEXT),
        _must("name", TEXT),
        _must("tags_json", TEXT),
        _must("created_at", REAL),
        _must("created_by", TEXT),
        _may("ttl_s", REAL),
        _may("expires_at", REAL),
        _may("stopped_at", REAL),
        _may("stopped_by", TEXT),
    )
    _live_name("apps", "environment", live="stopped_at")
    _create(
        "bundles",
        ("environment", "sha256"),
        _must("environment", TEXT),
        _must("sha256", TEXT),
        _must("size_bytes", INTEGER),
        _must("created_at", REAL),
    )


def _live_name(table: str, space: str, *, live: str) -> None:
    alive = sa.text(f"{live} IS NULL")
    op.create_index(
        f"{table}_live_name", table, [space, "name"], unique=True, sqlite_where=alive, postgresql_where=alive
    )


def _functions() -> None:
    _create(
        "functions",
        ("id",),
        _must("id", TEXT),
        _must("app_id", TEXT),
        _must("name", TEXT),
        _must("revision", INTEGER),
        _must("created_at", REAL),
        _must("updated_at", REAL),
        _may("override_json", TEXT),
        _may("deleted_at", REAL),
        _may("deleted_by", TEXT),
    )
    _live_name("functions", "app_id", live="deleted_at")
    _create(
        "revisions",
        ("function_id", "number"),
        _must("function_id", TEXT),
        _must("number", INTEGER),
        _must("definition_json", TEXT),
        _may("bundle", TEXT),
        _must("created_at", REAL),
        _must("created_by", TEXT),
        _may("rollback_of", INTEGER),
    )


def _credentials() -> None:
    _create(
        "tokens",
        ("id",),
        _must("id", TEXT),
        _must("name", TEXT),
        _must("role", TEXT),
        _may("environment", TEXT),
        _must("secret_sha256", TEXT),
        _must("created_at", REAL),
        _may("expires_at", REAL),
        _may("revoked_at", REAL),
    )
    _create(
        "keys",
        ("token_id", "function_id", "key"),
        _must("token_id", TEXT),
        _must("function_id", TEXT),
        _must("key", TEXT),
        _must("seq", INTEGER),
        _must("body_sha256", TEXT),
        _must("expires_at", REAL),
    )


def _containers() -> None:
    _create(
        "containers",
        ("id",),
        _must("id", TEXT),
        _must("function_id", TEXT),
        _must("revision", INTEGER),
        _must("engine", TEXT),
        _must("state", TEXT),
        _must("created_at", REAL),
        _must("start_token_sha256", TEXT),
        _may("reconnect_token_sha256", TEXT),
        _may("instance", TEXT),
        _may("engine_ref", TEXT),
        _must("fenced", sa.Integer()),
        _may("ready_at", REAL),
        _may("ended_at", REAL),
        _may("end_reason", TEXT),
        _may("exit_code", INTEGER),
        _may("signal", INTEGER),
    )
    op.create_index("containers_function", "containers", ["function_id"])


def _calls() -> None:
    _create(
        "calls",
        ("seq",),
        _must("seq", INTEGER),
        _must("function_id", TEXT),
        _must("app_id", TEXT),
        _must("kind", TEXT),
        _must("caller", TEXT),
        _must("priority", INTEGER),
        _must("created_at", REAL),
        _may("metadata_json", TEXT),
        _may("args", BYTES),
        _may("args_blob", TEXT),
        rowid=True,
    )
    op.create_index("calls_function", "calls", ["function_id", "seq"])
    _create(
        "results",
        ("seq",),
        _must("seq", INTEGER),
        _must("outcome", TEXT),
        _may("started_at", REAL),
        _must("finished_at", REAL),
        _must("attempts", INTEGER),
        _may("revision", INTEGER),
        _may("container_id", TEXT),
        _may("value", BYTES),
        _may("value_blob", TEXT),
        _may("error_json", BYTES),
        rowid=True,
    )


def _open_inputs() -> None:
    _create(
        "pending",
        ("function_id", "caller", "rank", "seq"),
        _must("function_id", TEXT),
        _must("caller", TEXT),
        _must("rank", INTEGER),
        _must("seq", INTEGER),
    )
    _create(
        "progress",
        ("seq",),
        _must("seq", INTEGER),
        _must("number", INTEGER),
        _must("user_failures", INTEGER),
        _must("losses", INTEGER),
        _must("min_token", INTEGER),
        rowid=True,
    )
    _create(
        "claims",
        ("seq",),
        _must("seq", INTEGER),
        _must("container_id", TEXT),
        _must("token", INTEGER),
        _must("started_at", REAL),
        rowid=True,
    )
    _create(
        "attempts",
        ("seq", "number"),
        _must("seq", INTEGER),
        _must("number", INTEGER),
        _must("outcome", TEXT),
        _may("container_id", TEXT),
        _may("started_at", REAL),
        _must("ended_at", REAL),
        _must("message", TEXT),
    )


TABLES = (
    "environments", "apps", "bundles", "functions", "revisions", "tokens", "keys", "containers", "calls", "results",
    "pending", "progress", "claims", "attempts", "meta",
)  # fmt: skip


def downgrade() -> None:
    """Drop every table."""
    for name in TABLES:
        op.drop_table(name)
