"""Items of generators, and how many of them a result has.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, INTEGER, nullable=False, autoincrement=False)


def upgrade() -> None:
    """Create the table, its index and the column."""
    op.create_table(
        "items",
        _number("seq"),
        _number("first"),
        _number("count"),
        _number("total_bytes"),
        sa.Column("data", sa.LargeBinary()),
        sa.Column("blob", TEXT),
        sa.PrimaryKeyConstraint("seq", "first"),
        sqlite_strict=True,
    )
    there = sa.text("blob IS NOT NULL")
    op.create_index("items_blob", "items", ["blob"], sqlite_where=there, postgresql_where=there)
    op.add_column("results", sa.Column("items", INTEGER))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("results", "items")
    op.drop_table("items")
