"""References of trades and leases are checked a statement at a time; holds have room on their pages."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
CHECKED = (
    ("leases", "node_id", "nodes"),
    ("leases", "trade_id", "trades"),
    ("trades", "epoch_id", "epochs"),
    ("trades", "offer_id", "offers"),
    ("trades", "order_id", "orders"),
)


def upgrade() -> None:
    """Forward."""
    for table, column, _ in CHECKED:
        op.drop_constraint(op.f(f"fk_{table}_{column}"), table, type_="foreignkey")
    op.get_bind().exec_driver_sql((SQL / "0007_references.sql").read_text())


def downgrade() -> None:
    """Back."""
    op.get_bind().exec_driver_sql((SQL / "0007_references_down.sql").read_text())
    for table, column, other in CHECKED:
        op.create_foreign_key(op.f(f"fk_{table}_{column}"), table, other, [column], ["id"])
