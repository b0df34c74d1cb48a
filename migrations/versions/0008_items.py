"""References of work items are checked a statement at a time; items have room on their pages."""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
CHECKED = (("order_id", "orders"), ("lease_id", "leases"), ("unit_id", "units"))


def upgrade() -> None:
    """Forward."""
    for column, _ in CHECKED:
        op.drop_constraint(op.f(f"fk_work_items_{column}"), "work_items", type_="foreignkey")
    op.get_bind().exec_driver_sql((SQL / "0008_items.sql").read_text())


def downgrade() -> None:
    """Back."""
    op.get_bind().exec_driver_sql((SQL / "0008_items_down.sql").read_text())
    for column, table in CHECKED:
        op.create_foreign_key(op.f(f"fk_work_items_{column}"), "work_items", table, [column], ["id"])
