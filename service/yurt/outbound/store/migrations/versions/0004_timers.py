"""Timers: inputs that start, or expire, at a time of their own.

Revision ID: 0004
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REAL: sa.types.TypeEngine[Any] = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "timers",
        sa.Column("seq", INTEGER, nullable=False, autoincrement=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("due_at", REAL, nullable=False),
        sa.PrimaryKeyConstraint("seq", "kind"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("timers")
