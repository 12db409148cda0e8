"""Secrets: variables of functions, encrypted.

Revision ID: 0008
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

REAL: sa.types.TypeEngine[Any] = sa.Double().with_variant(sa.REAL(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _must(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    """Create the table and its index."""
    op.create_table(
        "secrets",
        _must("id", TEXT),
        _must("environment", TEXT),
        _must("name", TEXT),
        _must("keys_json", TEXT),
        _must("key_id", TEXT),
        _must("sealed", sa.LargeBinary()),
        _must("created_at", REAL),
        _must("updated_at", REAL),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("secrets_name", "secrets", ["environment", "name"], unique=True)


def downgrade() -> None:
    """Drop them."""
    op.drop_index("secrets_name", "secrets")
    op.drop_table("secrets")
