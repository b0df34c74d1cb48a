"""Requests and answers are forgotten some time after their orders; so are idempotency keys and what webhooks were told."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

REMEMBERED = sa.text("tidied_at IS NOT NULL AND forgotten_at IS NULL")


def upgrade() -> None:
    """Forward; keys were never dropped before, and may be many."""
    op.execute("SET LOCAL statement_timeout = 0")
    op.create_table(
        "payload_mark",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("up_to", sa.Uuid, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_payload_mark_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payload_mark")),
    )
    op.execute("INSERT INTO payload_mark (id, up_to) VALUES (1, '00000000-0000-0000-0000-000000000000')")
    op.add_column("batches", sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_batches_remembered", "batches", ["ended_at"], postgresql_where=REMEMBERED)
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])
    done = sa.text("done_at IS NOT NULL")
    op.create_index("ix_account_deliveries_done", "account_deliveries", ["done_at"], postgresql_where=done)


def downgrade() -> None:
    """Back; what was forgotten stays so."""
    op.drop_index("ix_account_deliveries_done", "account_deliveries")
    op.drop_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys")
    op.drop_index("ix_batches_remembered", "batches")
    op.drop_column("batches", "forgotten_at")
    op.drop_table("payload_mark")
