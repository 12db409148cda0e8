"""Maps: calls of several inputs.

Revision ID: 0003
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REAL: sa.types.TypeEngine[Any] = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _create(name: str, key: tuple[str, ...], *columns: sa.Column[object], rowid: bool = False) -> None:
    op.create_table(name, *columns, sa.PrimaryKeyConstraint(*key), sqlite_strict=True, sqlite_with_rowid=rowid)


def _number(name: str) -> sa.Column[object]:
    return sa.Column(name, INTEGER, nullable=False, autoincrement=False)


def upgrade() -> None:
    """Create the tables and the index."""
    _create(
        "maps",
        ("seq",),
        _number("seq"),
        sa.Column("return_exceptions", sa.Integer(), nullable=False),
        sa.Column("sealed_at", REAL),
        sa.Column("truncated", sa.Integer(), nullable=False),
        sa.Column("cancelled_by", TEXT),
        sa.Column("failed_seq", INTEGER),
        _number("success"),
        _number("failure"),
        _number("terminated"),
        rowid=True,
    )
    _create(
        "blocks",
        ("call_seq", "first_idx"),
        _number("call_seq"),
        _number("first_idx"),
        _number("first_seq"),
        _number("size"),
    )
    _create(
        "inputs",
        ("seq",),
        _number("seq"),
        _number("call_seq"),
        sa.Column("args", sa.LargeBinary()),
        sa.Column("args_blob", TEXT),
        rowid=True,
    )
    there = sa.text("args_blob IS NOT NULL")
    op.create_index("inputs_blob", "inputs", ["args_blob"], sqlite_where=there, postgresql_where=there)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("inputs")
    op.drop_table("blocks")
    op.drop_table("maps")
