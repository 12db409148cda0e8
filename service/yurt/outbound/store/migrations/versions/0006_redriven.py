"""Find the calls that repeat another one.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index."""
    op.create_index("redrives_of", "redrives", ["of_seq"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("redrives_of", "redrives")
