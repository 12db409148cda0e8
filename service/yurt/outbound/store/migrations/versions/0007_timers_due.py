"""Read timers in the order in which they are due.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index; what is held back no longer stands among what is pending."""
    op.create_index("timers_due", "timers", ["due_at", "seq", "kind"])
    op.execute("DELETE FROM pending WHERE seq IN (SELECT seq FROM timers WHERE kind = 'start')")


def downgrade() -> None:
    """Drop it, and put back what was held back."""
    op.execute(
        "INSERT INTO pending SELECT c.function_id, c.caller, -c.priority, c.seq FROM timers t"
        " JOIN calls c ON c.seq = t.seq WHERE t.kind = 'start' AND c.kind <> 'map'"
    )
    op.drop_index("timers_due", "timers")
