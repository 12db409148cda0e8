"""The mark behind which calls may wait without a place in the queue.

Revision ID: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table, empty: in a store of an earlier release everything has its place."""
    op.create_table(
        "placed",
        sa.Column("one", INTEGER, autoincrement=False, nullable=False),
        sa.Column("before", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("one"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )


def downgrade() -> None:
    """Give everything its place, and drop the table."""
    op.execute(
        "INSERT INTO pending SELECT coalesce(t.queue, c.function_id), c.caller, -c.priority, c.seq"
        " FROM calls c LEFT JOIN targets t ON t.seq = c.seq"
        " WHERE c.seq >= (SELECT before FROM placed) AND c.kind <> 'map'"
        " AND NOT EXISTS (SELECT 1 FROM results r WHERE r.seq = c.seq)"
        " AND NOT EXISTS (SELECT 1 FROM timers s WHERE s.seq = c.seq AND s.kind = 'start')"
        " ON CONFLICT DO NOTHING"
    )
    op.drop_table("placed")
