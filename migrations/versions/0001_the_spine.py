"""The spine: accounts, ledger, market, work, fleet, node functions. Long because generated, table by table."""

from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

SQL = Path(__file__).parent.parent / "sql"

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
    )
    op.create_table(
        "agents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=True),
        sa.Column("endpoint", sa.Text(), nullable=True),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('api', 'pricing', 'allocation', 'settlement', 'inference', 'manager')",
            name=op.f("ck_agents_kind"),
        ),
        sa.CheckConstraint("state IN ('up', 'draining', 'stopped')", name=op.f("ck_agents_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
    )
    op.create_index(op.f("ix_agents_queue_beat_at"), "agents", ["queue", "beat_at"], unique=False)
    op.create_table(
        "changes",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_changes")),
    )
    op.create_table(
        "epochs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("resource_class", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("mechanism", sa.Text(), nullable=False),
        sa.Column("book_digest", sa.LargeBinary(), nullable=False),
        sa.Column("price_nano_per_slot_s", sa.BigInteger(), nullable=True),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("offers", sa.Integer(), nullable=False),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_epochs")),
    )
    op.create_index(
        op.f("ix_epochs_resource_class_region_cleared_at"),
        "epochs",
        ["resource_class", "region", "cleared_at"],
        unique=False,
    )
    op.create_table(
        "fleet",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("arguments", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("replicas", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('api', 'pricing', 'allocation', 'settlement', 'inference', 'manager')", name=op.f("ck_fleet_kind")
        ),
        sa.CheckConstraint("replicas BETWEEN 0 AND 100", name=op.f("ck_fleet_replicas")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fleet")),
    )
    op.create_table(
        "markets",
        sa.Column("resource_class", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("spot_nano_per_slot_s", sa.BigInteger(), nullable=False),
        sa.Column("utilisation_ppm", sa.Integer(), nullable=False),
        sa.Column("priced_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "resource_class IN ('mobile', 'fog', 'cloud', 'dedicated')", name=op.f("ck_markets_resource_class")
        ),
        sa.CheckConstraint("spot_nano_per_slot_s > 0", name=op.f("ck_markets_spot_positive")),
        sa.PrimaryKeyConstraint("resource_class", "region", name=op.f("pk_markets")),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("signature", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("us_per_call", sa.Integer(), nullable=False),
        sa.Column("us_per_row", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("us_per_call > 0 AND us_per_row > 0", name=op.f("ck_models_profiled")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("name", "checksum", name=op.f("uq_models_name_checksum")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_models_name_version")),
    )
    op.create_table(
        "units",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("resend_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_units")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('user', 'provider', 'admin')", name=op.f("ck_api_keys_role")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_api_keys_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_index(op.f("ix_api_keys_account_id"), "api_keys", ["account_id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_idempotency_keys_account_id")),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("posted_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reserved_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "kind = 'world' OR posted_nano - reserved_nano >= 0", name=op.f("ck_ledger_accounts_available_not_negative")
        ),
        sa.CheckConstraint("kind IN ('wallet', 'earnings', 'fees', 'world')", name=op.f("ck_ledger_accounts_kind")),
        sa.CheckConstraint("reserved_nano >= 0", name=op.f("ck_ledger_accounts_reserved_not_negative")),
        sa.ForeignKeyConstraint(["owner_id"], ["accounts.id"], name=op.f("fk_ledger_accounts_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_accounts")),
        sa.UniqueConstraint(
            "owner_id", "kind", name=op.f("uq_ledger_accounts_owner_id_kind"), postgresql_nulls_not_distinct=True
        ),
    )
    op.create_table(
        "nodes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("resource_class", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("busy_slots", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "resource_class IN ('mobile', 'fog', 'cloud', 'dedicated')", name=op.f("ck_nodes_resource_class")
        ),
        sa.CheckConstraint("state IN ('active', 'draining')", name=op.f("ck_nodes_state")),
        sa.CheckConstraint("busy_slots BETWEEN 0 AND slots", name=op.f("ck_nodes_no_slot_sold_twice")),
        sa.CheckConstraint("slots > 0", name=op.f("ck_nodes_has_slots")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_nodes_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
        sa.UniqueConstraint("account_id", "name", name=op.f("uq_nodes_account_id_name")),
    )
    op.create_index(op.f("ix_nodes_queue"), "nodes", ["queue"], unique=False)
    op.create_index(op.f("ix_nodes_resource_class_region"), "nodes", ["resource_class", "region"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("unit_id", sa.Uuid(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["unit_id"], ["units.id"], name=op.f("fk_outbox_unit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_unsent", "outbox", ["id"], unique=False, postgresql_where=sa.text("sent_at IS NULL"))
    op.create_table(
        "holds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("amount_nano", sa.BigInteger(), nullable=False),
        sa.Column("captured_nano", sa.BigInteger(), nullable=False),
        sa.Column("released_nano", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(state = 'pending') = (captured_nano + released_nano < amount_nano)",
            name=op.f("ck_holds_pending_while_something_left"),
        ),
        sa.CheckConstraint("state <> 'posted' OR captured_nano > 0", name=op.f("ck_holds_posted_means_captured")),
        sa.CheckConstraint("state IN ('pending', 'posted', 'voided', 'expired')", name=op.f("ck_holds_state")),
        sa.CheckConstraint("amount_nano > 0", name=op.f("ck_holds_amount_positive")),
        sa.CheckConstraint("captured_nano + released_nano <= amount_nano", name=op.f("ck_holds_not_exceeded")),
        sa.CheckConstraint("captured_nano >= 0 AND released_nano >= 0", name=op.f("ck_holds_parts_not_negative")),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_accounts.id"], name=op.f("fk_holds_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    op.create_index(
        op.f("ix_holds_account_id"),
        "holds",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "offers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("ask_nano_per_slot_s", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('open', 'withdrawn')", name=op.f("ck_offers_state")),
        sa.CheckConstraint("ask_nano_per_slot_s > 0", name=op.f("ck_offers_ask_positive")),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_offers_node_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offers")),
        sa.UniqueConstraint("node_id", "version", name=op.f("uq_offers_node_id_version")),
    )
    op.create_index(
        "uq_offers_open_node", "offers", ["node_id"], unique=True, postgresql_where=sa.text("state = 'open'")
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("workload", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("resource_class", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("markets", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("limit_nano_per_slot_s", sa.BigInteger(), nullable=False),
        sa.Column("worst_case_nano", sa.BigInteger(), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("charged_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state IN ('expired', 'cancelled', 'failed')) <= (reason IS NOT NULL)",
            name=op.f("ck_orders_ends_explained"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'running', 'closing', 'settled', 'cancelled', 'expired', 'failed')",
            name=op.f("ck_orders_state"),
        ),
        sa.CheckConstraint("strategy IN ('cost', 'balanced', 'latency')", name=op.f("ck_orders_strategy")),
        sa.CheckConstraint("tier IN ('small', 'medium', 'large', 'enterprise')", name=op.f("ck_orders_tier")),
        sa.CheckConstraint(
            "workload IN ('inference', 'batch', 'training', 'session')", name=op.f("ck_orders_workload")
        ),
        sa.CheckConstraint(
            "charged_nano BETWEEN 0 AND worst_case_nano", name=op.f("ck_orders_charge_within_worst_case")
        ),
        sa.CheckConstraint("limit_nano_per_slot_s > 0", name=op.f("ck_orders_limit_positive")),
        sa.CheckConstraint("slots > 0", name=op.f("ck_orders_slots_positive")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_orders_account_id")),
        sa.ForeignKeyConstraint(["hold_id"], ["holds.id"], name=op.f("fk_orders_hold_id")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_orders_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
    op.create_index(op.f("ix_orders_account_id_id"), "orders", ["account_id", "id"], unique=False)
    op.create_index(
        "ix_orders_open",
        "orders",
        ["resource_class", "region"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        "ix_orders_unsettled",
        "orders",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('running', 'closing')"),
    )
    op.create_table(
        "transfers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("debit_id", sa.Uuid(), nullable=False),
        sa.Column("credit_id", sa.Uuid(), nullable=False),
        sa.Column("amount_nano", sa.BigInteger(), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(kind IN ('charge', 'fee')) = (hold_id IS NOT NULL)", name=op.f("ck_transfers_charges_capture_holds")
        ),
        sa.CheckConstraint(
            "kind <> 'deposit' OR reference IS NOT NULL", name=op.f("ck_transfers_deposits_have_references")
        ),
        sa.CheckConstraint("kind IN ('deposit', 'charge', 'fee')", name=op.f("ck_transfers_kind")),
        sa.CheckConstraint("amount_nano > 0", name=op.f("ck_transfers_amount_positive")),
        sa.CheckConstraint("debit_id <> credit_id", name=op.f("ck_transfers_two_accounts")),
        sa.ForeignKeyConstraint(["credit_id"], ["ledger_accounts.id"], name=op.f("fk_transfers_credit_id")),
        sa.ForeignKeyConstraint(["debit_id"], ["ledger_accounts.id"], name=op.f("fk_transfers_debit_id")),
        sa.ForeignKeyConstraint(["hold_id"], ["holds.id"], name=op.f("fk_transfers_hold_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        sa.UniqueConstraint("reference", name=op.f("uq_transfers_reference")),
    )
    op.create_index(op.f("ix_transfers_credit_id"), "transfers", ["credit_id"], unique=False)
    op.create_index(op.f("ix_transfers_debit_id"), "transfers", ["debit_id"], unique=False)
    op.create_index(
        op.f("ix_transfers_hold_id"),
        "transfers",
        ["hold_id"],
        unique=False,
        postgresql_where=sa.text("hold_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_transfers_order_id"),
        "transfers",
        ["order_id"],
        unique=False,
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )
    op.create_table(
        "trades",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("epoch_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("price_nano_per_slot_s", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("slots > 0", name=op.f("ck_trades_slots_positive")),
        sa.ForeignKeyConstraint(["epoch_id"], ["epochs.id"], name=op.f("fk_trades_epoch_id")),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_trades_node_id")),
        sa.ForeignKeyConstraint(["offer_id"], ["offers.id"], name=op.f("fk_trades_offer_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_trades_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trades")),
    )
    op.create_index(op.f("ix_trades_order_id"), "trades", ["order_id"], unique=False)
    op.create_table(
        "leases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("trade_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("price_nano_per_slot_s", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'ended') = (ended_at IS NOT NULL)", name=op.f("ck_leases_ended_has_time")),
        sa.CheckConstraint("state IN ('active', 'ended')", name=op.f("ck_leases_state")),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_leases_node_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_leases_order_id")),
        sa.ForeignKeyConstraint(["trade_id"], ["trades.id"], name=op.f("fk_leases_trade_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leases")),
    )
    op.create_index(
        "ix_leases_active_node", "leases", ["node_id"], unique=False, postgresql_where=sa.text("state = 'active'")
    )
    op.create_index(op.f("ix_leases_order_id"), "leases", ["order_id"], unique=False)
    op.create_table(
        "windows",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'settled')", name=op.f("ck_windows_state")),
        sa.ForeignKeyConstraint(["hold_id"], ["holds.id"], name=op.f("fk_windows_hold_id")),
        sa.ForeignKeyConstraint(["lease_id"], ["leases.id"], name=op.f("fk_windows_lease_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_windows")),
        sa.UniqueConstraint("hold_id", name=op.f("uq_windows_hold_id")),
        sa.UniqueConstraint("lease_id", "seq", name=op.f("uq_windows_lease_id_seq")),
    )
    op.create_index("ix_windows_open", "windows", ["ends_at"], unique=False, postgresql_where=sa.text("state = 'open'"))
    op.create_table(
        "work_items",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("us_max", sa.BigInteger(), nullable=False),
        sa.Column("inputs", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("unit_id", sa.Uuid(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reported_us", sa.BigInteger(), nullable=True),
        sa.Column("billed_us", sa.BigInteger(), nullable=True),
        sa.Column("charged_nano", sa.BigInteger(), nullable=True),
        sa.Column("outputs", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('committed', 'settled')) = (outputs IS NOT NULL)",
            name=op.f("ck_work_items_committed_has_outputs"),
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'queued', 'running', 'committed', 'settled', 'cancelled', 'dead')",
            name=op.f("ck_work_items_state"),
        ),
        sa.CheckConstraint(
            "billed_us IS NULL OR billed_us BETWEEN 0 AND us_max", name=op.f("ck_work_items_billed_within_profile")
        ),
        sa.ForeignKeyConstraint(["lease_id"], ["leases.id"], name=op.f("fk_work_items_lease_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_work_items_order_id")),
        sa.ForeignKeyConstraint(["unit_id"], ["units.id"], name=op.f("fk_work_items_unit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_items")),
        sa.UniqueConstraint("order_id", "seq", name=op.f("uq_work_items_order_id_seq")),
    )
    op.create_index(
        "ix_work_items_claims",
        "work_items",
        ["claimed_until"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_work_items_committed",
        "work_items",
        ["order_id"],
        unique=False,
        postgresql_where=sa.text("state = 'committed'"),
    )
    op.create_index(
        "ix_work_items_dead", "work_items", ["order_id"], unique=False, postgresql_where=sa.text("state = 'dead'")
    )
    op.create_index(
        "ix_work_items_unit",
        "work_items",
        ["unit_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_index(
        "ix_work_items_waiting", "work_items", ["order_id"], unique=False, postgresql_where=sa.text("state = 'waiting'")
    )
    op.get_bind().exec_driver_sql((SQL / "0001_node_functions.sql").read_text())
    op.bulk_insert(
        sa.table("ledger_accounts", sa.column("id", sa.Uuid()), sa.column("kind", sa.Text())),
        [
            {"id": UUID("00000000-0000-7000-8000-000000000001"), "kind": "world"},
            {"id": UUID("00000000-0000-7000-8000-000000000002"), "kind": "fees"},
        ],
    )


def downgrade() -> None:
    """Back."""
    op.get_bind().exec_driver_sql((SQL / "0001_node_functions_down.sql").read_text())
    op.drop_index("ix_work_items_waiting", table_name="work_items", postgresql_where=sa.text("state = 'waiting'"))
    op.drop_index(
        "ix_work_items_unit", table_name="work_items", postgresql_where=sa.text("state IN ('queued', 'running')")
    )
    op.drop_index("ix_work_items_dead", table_name="work_items", postgresql_where=sa.text("state = 'dead'"))
    op.drop_index("ix_work_items_committed", table_name="work_items", postgresql_where=sa.text("state = 'committed'"))
    op.drop_index("ix_work_items_claims", table_name="work_items", postgresql_where=sa.text("state = 'running'"))
    op.drop_table("work_items")
    op.drop_index("ix_windows_open", table_name="windows", postgresql_where=sa.text("state = 'open'"))
    op.drop_table("windows")
    op.drop_index(op.f("ix_leases_order_id"), table_name="leases")
    op.drop_index("ix_leases_active_node", table_name="leases", postgresql_where=sa.text("state = 'active'"))
    op.drop_table("leases")
    op.drop_index(op.f("ix_trades_order_id"), table_name="trades")
    op.drop_table("trades")
    op.drop_index(
        op.f("ix_transfers_order_id"), table_name="transfers", postgresql_where=sa.text("order_id IS NOT NULL")
    )
    op.drop_index(op.f("ix_transfers_hold_id"), table_name="transfers", postgresql_where=sa.text("hold_id IS NOT NULL"))
    op.drop_index(op.f("ix_transfers_debit_id"), table_name="transfers")
    op.drop_index(op.f("ix_transfers_credit_id"), table_name="transfers")
    op.drop_table("transfers")
    op.drop_index(
        "ix_orders_unsettled", table_name="orders", postgresql_where=sa.text("state IN ('running', 'closing')")
    )
    op.drop_index("ix_orders_open", table_name="orders", postgresql_where=sa.text("state = 'open'"))
    op.drop_index(op.f("ix_orders_account_id_id"), table_name="orders")
    op.drop_table("orders")
    op.drop_index("uq_offers_open_node", table_name="offers", postgresql_where=sa.text("state = 'open'"))
    op.drop_table("offers")
    op.drop_index(op.f("ix_holds_account_id"), table_name="holds", postgresql_where=sa.text("state = 'pending'"))
    op.drop_table("holds")
    op.drop_index("ix_outbox_unsent", table_name="outbox", postgresql_where=sa.text("sent_at IS NULL"))
    op.drop_table("outbox")
    op.drop_index(op.f("ix_nodes_resource_class_region"), table_name="nodes")
    op.drop_index(op.f("ix_nodes_queue"), table_name="nodes")
    op.drop_table("nodes")
    op.drop_table("ledger_accounts")
    op.drop_table("idempotency_keys")
    op.drop_index(op.f("ix_api_keys_account_id"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_table("units")
    op.drop_table("models")
    op.drop_table("markets")
    op.drop_table("fleet")
    op.drop_index(op.f("ix_epochs_resource_class_region_cleared_at"), table_name="epochs")
    op.drop_table("epochs")
    op.drop_table("changes")
    op.drop_index(op.f("ix_agents_queue_beat_at"), table_name="agents")
    op.drop_table("agents")
    op.drop_table("accounts")
