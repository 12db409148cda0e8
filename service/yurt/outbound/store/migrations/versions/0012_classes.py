"""Calls of classes: which method, with which parameters, in which queue; and what containers were made with.

Revision ID: 0012
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _must(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, autoincrement=False)


def upgrade() -> None:
    """Create the table, and let inputs wait in queues of their own."""
    op.create_table(
        "targets",
        _must("seq", INTEGER),
        _must("queue", TEXT),
        _must("method", TEXT),
        sa.Column("parameters_json", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.add_column("containers", sa.Column("parameters_json", TEXT, nullable=True))
    op.execute("ALTER TABLE pending RENAME COLUMN function_id TO queue")


def downgrade() -> None:
    """Undo it; calls of classes are gone with what they were for."""
    op.execute("ALTER TABLE pending RENAME COLUMN queue TO function_id")
    op.drop_column("containers", "parameters_json")
    op.drop_table("targets")
