"""Labels: names of functions in URLs.

Revision ID: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "labels",
        sa.Column("label", TEXT, nullable=False),
        sa.Column("function_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("label"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("labels")
