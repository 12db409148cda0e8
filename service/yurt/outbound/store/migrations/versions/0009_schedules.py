"""Schedules, how far they have come, and the ticks that were run.

Revision ID: 0009
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REAL: sa.types.TypeEngine[Any] = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _must(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, autoincrement=False)


def _may(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def _create(name: str, key: tuple[str, ...], *columns: sa.Column[Any]) -> None:
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key), sqlite_strict=True, sqlite_with_rowid=False)


def upgrade() -> None:
    """Create the tables and the index."""
    _create(
        "schedules",
        ("id",),
        _must("id", TEXT),
        _must("function_id", TEXT),
        _must("app_id", TEXT),
        _must("environment", TEXT),
        _must("spec_json", TEXT),
        _must("created_at", REAL),
        _must("anchor_at", REAL),
        _must("after_at", REAL),
        _may("paused_at", REAL),
    )
    _create(
        "schedule_marks",
        ("schedule_id",),
        _must("schedule_id", TEXT),
        _must("done_at", REAL),
        _must("seq", INTEGER),
        _may("called_at", REAL),
        _may("skipped_at", REAL),
    )
    _create(
        "ticks",
        ("schedule_id", "due_at", "manual"),
        _must("schedule_id", TEXT),
        _must("due_at", REAL),
        _must("manual", sa.Integer()),
        _must("seq", INTEGER),
    )
    op.create_index("ticks_call", "ticks", ["seq"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("ticks")
    op.drop_table("schedule_marks")
    op.drop_table("schedules")
