"""Callbacks, the secrets that sign them, and how blobs are found again.

Revision ID: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REAL: sa.types.TypeEngine[Any] = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _must(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, autoincrement=False)


def _may(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def _create(name: str, key: tuple[str, ...], *columns: sa.Column[Any], rowid: bool = False) -> None:
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key), sqlite_strict=True, sqlite_with_rowid=rowid)


def _only_set(name: str, table: str, column: str) -> None:
    there = sa.text(f"{column} IS NOT NULL")
    op.create_index(name, table, [column], sqlite_where=there, postgresql_where=there)


def upgrade() -> None:
    """Create the tables and indexes."""
    _create(
        "callbacks",
        ("seq",),
        _must("seq", INTEGER),
        _must("environment", TEXT),
        _must("url", TEXT),
        _must("host", TEXT),
        _may("ended_at", REAL),
        _may("due_at", REAL),
        _must("attempts", INTEGER),
        _may("last_error", TEXT),
        _may("delivered_at", REAL),
        _may("failed_at", REAL),
        rowid=True,
    )
    _only_set("callbacks_due", "callbacks", "due_at")
    _create(
        "callback_secrets",
        ("environment", "number"),
        _must("environment", TEXT),
        _must("number", INTEGER),
        _must("secret", TEXT),
        _must("created_at", REAL),
        _may("expires_at", REAL),
    )
    _only_set("calls_blob", "calls", "args_blob")
    _only_set("results_blob", "results", "value_blob")


def downgrade() -> None:
    """Drop them."""
    op.drop_index("results_blob", "results")
    op.drop_index("calls_blob", "calls")
    op.drop_table("callback_secrets")
    op.drop_table("callbacks")
