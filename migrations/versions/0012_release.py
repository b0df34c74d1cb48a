"""Nodes of the operator, too, give back what they could not begin."""

from pathlib import Path

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Forward."""
    op.get_bind().exec_driver_sql((SQL / "0012_release.sql").read_text())


def downgrade() -> None:
    """Back."""
    op.execute("DROP FUNCTION work_release")
