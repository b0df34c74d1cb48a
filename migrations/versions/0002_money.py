"""Money: budgets, alerts, organisations, metering, bills, payouts, disputes, audits; transfers become immutable."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

SQL = Path(__file__).parent.parent / "sql"

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index(op.f("ix_audit_log_actor_id_id"), "audit_log", ["actor_id", "id"], unique=False)
    op.create_index(op.f("ix_audit_log_subject_id"), "audit_log", ["subject", "id"], unique=False)
    op.create_table(
        "audit_mark",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("up_to", sa.Uuid(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_mark_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_mark")),
    )
    op.create_table(
        "audit_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("accounts", sa.Integer(), nullable=False),
        sa.Column("transfers", sa.BigInteger(), nullable=False),
        sa.Column("holds", sa.BigInteger(), nullable=False),
        sa.Column("sum_nano", sa.BigInteger(), nullable=False),
        sa.Column("differences", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("took_us", sa.BigInteger(), nullable=False),
        sa.Column("audited_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("mode IN ('full', 'incremental')", name=op.f("ck_audit_runs_mode")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_runs")),
    )
    op.create_table(
        "audited_balances",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("posted_nano", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_audited_balances")),
    )
    op.create_table(
        "document_numbers",
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("series", name=op.f("pk_document_numbers")),
    )
    op.create_table(
        "fees",
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fee_ppm", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("tier IN ('small', 'medium', 'large', 'enterprise')", name=op.f("ck_fees_tier")),
        sa.CheckConstraint("fee_ppm BETWEEN 0 AND 500000", name=op.f("ck_fees_fee_within_half")),
        sa.PrimaryKeyConstraint("tier", "version", name=op.f("pk_fees")),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("limit_nano", sa.BigInteger(), nullable=False),
        sa.Column("used_nano", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('budget', 'wallet')", name=op.f("ck_alerts_kind")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_alerts_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("kind", "subject_id", "account_id", "since", "percent", name="uq_alerts_once"),
    )
    op.create_index(op.f("ix_alerts_account_id_id"), "alerts", ["account_id", "id"], unique=False)
    op.create_table(
        "budgets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("limit_nano", sa.BigInteger(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("mode IN ('hard', 'soft')", name=op.f("ck_budgets_mode")),
        sa.CheckConstraint("period IN ('request', 'job', 'day', 'month')", name=op.f("ck_budgets_period")),
        sa.CheckConstraint("tier IN ('small', 'medium', 'large', 'enterprise')", name=op.f("ck_budgets_tier")),
        sa.CheckConstraint("limit_nano >= 0", name=op.f("ck_budgets_limit_not_negative")),
        sa.CheckConstraint(
            "member_id IS NULL OR account_id IS NOT NULL", name=op.f("ck_budgets_members_belong_to_an_account")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_budgets_account_id")),
        sa.ForeignKeyConstraint(["member_id"], ["accounts.id"], name=op.f("fk_budgets_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
    )
    op.create_index(
        "uq_budgets_open",
        "budgets",
        ["account_id", "member_id", "period", "tier", "mode"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "documents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("credits_id", sa.Uuid(), nullable=True),
        sa.Column("total_nano", sa.BigInteger(), nullable=False),
        sa.Column("carried_in_nano", sa.BigInteger(), nullable=False),
        sa.Column("total_cents", sa.BigInteger(), nullable=False),
        sa.Column("carried_out_nano", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finalised_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(kind = 'credit_note') = (credits_id IS NOT NULL)", name=op.f("ck_documents_credit_notes_credit")
        ),
        sa.CheckConstraint("(state = 'draft') = (number IS NULL)", name=op.f("ck_documents_numbered_when_final")),
        sa.CheckConstraint("kind IN ('invoice', 'credit_note')", name=op.f("ck_documents_kind")),
        sa.CheckConstraint("state IN ('draft', 'final', 'paid', 'void')", name=op.f("ck_documents_state")),
        sa.CheckConstraint(
            "carried_in_nano + total_nano = total_cents * 10000000 + carried_out_nano",
            name=op.f("ck_documents_nothing_rounds_away"),
        ),
        sa.CheckConstraint("period_start < period_end", name=op.f("ck_documents_period_lasts")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_documents_account_id")),
        sa.ForeignKeyConstraint(["credits_id"], ["documents.id"], name=op.f("fk_documents_credits_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
        sa.UniqueConstraint("number", name=op.f("uq_documents_number")),
    )
    op.create_index(op.f("ix_documents_account_id_id"), "documents", ["account_id", "id"], unique=False)
    op.create_index(
        op.f("ix_documents_credits_id"),
        "documents",
        ["credits_id"],
        unique=False,
        postgresql_where=sa.text("credits_id IS NOT NULL"),
    )
    op.create_index(
        "uq_documents_period",
        "documents",
        ["account_id", "period_start"],
        unique=True,
        postgresql_where=sa.text("kind = 'invoice' AND state <> 'void'"),
    )
    op.create_table(
        "members",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('owner', 'member')", name=op.f("ck_members_role")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_members_account_id")),
        sa.ForeignKeyConstraint(["organisation_id"], ["accounts.id"], name=op.f("fk_members_organisation_id")),
        sa.PrimaryKeyConstraint("organisation_id", "account_id", name=op.f("pk_members")),
    )
    op.create_index(op.f("ix_members_account_id"), "members", ["account_id"], unique=False)
    op.create_table(
        "meters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["provider_id"], ["accounts.id"], name=op.f("fk_meters_provider_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meters")),
    )
    op.create_table(
        "wallet_baselines",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("baseline_nano", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("baseline_nano >= 0", name=op.f("ck_wallet_baselines_baseline_not_negative")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_wallet_baselines_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_wallet_baselines")),
    )
    op.create_table(
        "budget_uses",
        sa.Column("budget_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_nano", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used_nano >= 0", name=op.f("ck_budget_uses_used_not_negative")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_budget_uses_account_id")),
        sa.ForeignKeyConstraint(["budget_id"], ["budgets.id"], name=op.f("fk_budget_uses_budget_id")),
        sa.PrimaryKeyConstraint("budget_id", "account_id", "since", name=op.f("pk_budget_uses")),
    )
    op.create_table(
        "document_lines",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("quantity_micro", sa.BigInteger(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("amount_nano", sa.BigInteger(), nullable=False),
        sa.Column("cents", sa.BigInteger(), nullable=False),
        sa.Column("transfer_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name=op.f("fk_document_lines_document_id")),
        sa.PrimaryKeyConstraint("document_id", "seq", name=op.f("pk_document_lines")),
        sa.UniqueConstraint("transfer_id", name=op.f("uq_document_lines_transfer_id")),
    )
    op.create_table(
        "meter_prices",
        sa.Column("meter", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("nano_per_unit", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("nano_per_unit >= 0", name=op.f("ck_meter_prices_price_not_negative")),
        sa.ForeignKeyConstraint(["meter"], ["meters.name"], name=op.f("fk_meter_prices_meter")),
        sa.PrimaryKeyConstraint("meter", "version", name=op.f("pk_meter_prices")),
    )
    op.create_table(
        "usage_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("meter", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("quantity_micro", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price_version", sa.Integer(), nullable=False),
        sa.Column("amount_nano", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("transfer_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(state = 'charged') <= (transfer_id IS NOT NULL)", name=op.f("ck_usage_events_charged_by_a_transfer")
        ),
        sa.CheckConstraint("state IN ('charged', 'unpaid', 'free', 'void')", name=op.f("ck_usage_events_state")),
        sa.CheckConstraint("amount_nano >= 0", name=op.f("ck_usage_events_amount_not_negative")),
        sa.CheckConstraint("quantity_micro >= 0", name=op.f("ck_usage_events_quantity_not_negative")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_usage_events_account_id")),
        sa.ForeignKeyConstraint(["meter"], ["meters.name"], name=op.f("fk_usage_events_meter")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_events")),
        sa.UniqueConstraint("source", "event_id", name=op.f("uq_usage_events_source_event_id")),
    )
    op.create_index(op.f("ix_usage_events_account_id_id"), "usage_events", ["account_id", "id"], unique=False)
    op.create_index(op.f("ix_usage_events_meter_occurred_at"), "usage_events", ["meter", "occurred_at"], unique=False)
    op.create_index(
        "ix_usage_events_unpaid", "usage_events", ["id"], unique=False, postgresql_where=sa.text("state = 'unpaid'")
    )
    op.create_table(
        "payouts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("amount_nano", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state <> 'posted' OR reference IS NOT NULL", name=op.f("ck_payouts_posted_has_reference")),
        sa.CheckConstraint(
            "state IN ('requested', 'approved', 'posted', 'returned', 'rejected', 'cancelled')",
            name=op.f("ck_payouts_state"),
        ),
        sa.CheckConstraint("amount_nano > 0", name=op.f("ck_payouts_amount_positive")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_payouts_account_id")),
        sa.ForeignKeyConstraint(["hold_id"], ["holds.id"], name=op.f("fk_payouts_hold_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payouts")),
        sa.UniqueConstraint("reference", name=op.f("uq_payouts_reference")),
    )
    op.create_index(op.f("ix_payouts_account_id_id"), "payouts", ["account_id", "id"], unique=False)
    op.create_table(
        "disputes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("withheld_nano", sa.BigInteger(), nullable=False),
        sa.Column("refunded_nano", sa.BigInteger(), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("state IN ('open', 'upheld', 'rejected')", name=op.f("ck_disputes_state")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_disputes_account_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_disputes_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disputes")),
    )
    op.create_index(op.f("ix_disputes_account_id_id"), "disputes", ["account_id", "id"], unique=False)
    op.create_index(
        "uq_disputes_open", "disputes", ["order_id"], unique=True, postgresql_where=sa.text("state = 'open'")
    )
    op.add_column("accounts", sa.Column("type", sa.Text(), server_default=sa.text("'person'"), nullable=False))
    op.add_column("api_keys", sa.Column("member_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(op.f("fk_api_keys_member_id"), "api_keys", "accounts", ["member_id"], ["id"])
    op.add_column("holds", sa.Column("spender_id", sa.Uuid(), nullable=True))
    op.add_column("holds", sa.Column("tier", sa.Text(), nullable=True))
    op.drop_index(op.f("ix_holds_account_id"), table_name="holds", postgresql_where="(state = 'pending'::text)")
    op.create_index(op.f("ix_holds_account_id_id"), "holds", ["account_id", "id"], unique=False)
    op.create_index(
        "ix_holds_pending", "holds", ["expires_at"], unique=False, postgresql_where=sa.text("state = 'pending'")
    )
    op.add_column("leases", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("orders", sa.Column("member_id", sa.Uuid(), nullable=True))
    op.add_column("orders", sa.Column("fee_ppm", sa.Integer(), nullable=True))  # filled in, then required, by the SQL
    op.add_column("transfers", sa.Column("original_id", sa.Uuid(), nullable=True))
    op.drop_index(op.f("ix_transfers_credit_id"), table_name="transfers")
    op.drop_index(op.f("ix_transfers_debit_id"), table_name="transfers")
    op.drop_constraint(op.f("uq_transfers_reference"), "transfers", type_="unique")
    op.create_index(
        "uq_transfers_reference",
        "transfers",
        ["reference"],
        unique=True,
        postgresql_where=sa.text("reference IS NOT NULL"),
    )
    op.create_index(op.f("ix_transfers_credit_id_id"), "transfers", ["credit_id", "id"], unique=False)
    op.create_index(op.f("ix_transfers_debit_id_id"), "transfers", ["debit_id", "id"], unique=False)
    op.create_index(
        "uq_transfers_replaced",
        "transfers",
        ["original_id"],
        unique=True,
        postgresql_where=sa.text("kind <> 'reversal' AND original_id IS NOT NULL"),
    )
    op.create_index(
        "uq_transfers_reversed",
        "transfers",
        ["original_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'reversal'"),
    )
    for script in ("0002_money.sql", "0002_immutable.sql"):
        op.get_bind().exec_driver_sql((SQL / script).read_text())


def downgrade() -> None:
    """Back."""
    for script in ("0002_immutable_down.sql", "0002_money_down.sql"):
        op.get_bind().exec_driver_sql((SQL / script).read_text())
    op.drop_index("uq_transfers_reversed", table_name="transfers", postgresql_where=sa.text("kind = 'reversal'"))
    op.drop_index(
        "uq_transfers_replaced",
        table_name="transfers",
        postgresql_where=sa.text("kind <> 'reversal' AND original_id IS NOT NULL"),
    )
    op.drop_index(op.f("ix_transfers_debit_id_id"), table_name="transfers")
    op.drop_index(op.f("ix_transfers_credit_id_id"), table_name="transfers")
    op.drop_index("uq_transfers_reference", table_name="transfers", postgresql_where=sa.text("reference IS NOT NULL"))
    op.create_unique_constraint(
        op.f("uq_transfers_reference"), "transfers", ["reference"], postgresql_nulls_not_distinct=False
    )
    op.create_index(op.f("ix_transfers_debit_id"), "transfers", ["debit_id"], unique=False)
    op.create_index(op.f("ix_transfers_credit_id"), "transfers", ["credit_id"], unique=False)
    op.drop_column("transfers", "original_id")
    op.drop_column("orders", "fee_ppm")
    op.drop_column("orders", "member_id")
    op.drop_column("leases", "paused_at")
    op.drop_index("ix_holds_pending", table_name="holds", postgresql_where=sa.text("state = 'pending'"))
    op.drop_index(op.f("ix_holds_account_id_id"), table_name="holds")
    op.create_index(
        op.f("ix_holds_account_id"), "holds", ["account_id"], unique=False, postgresql_where="(state = 'pending'::text)"
    )
    op.drop_column("holds", "tier")
    op.drop_column("holds", "spender_id")
    op.drop_constraint(op.f("fk_api_keys_member_id"), "api_keys", type_="foreignkey")
    op.drop_column("api_keys", "member_id")
    op.drop_column("accounts", "type")
    op.drop_index("uq_disputes_open", table_name="disputes", postgresql_where=sa.text("state = 'open'"))
    op.drop_index(op.f("ix_disputes_account_id_id"), table_name="disputes")
    op.drop_table("disputes")
    op.drop_index(op.f("ix_payouts_account_id_id"), table_name="payouts")
    op.drop_table("payouts")
    op.drop_index("ix_usage_events_unpaid", table_name="usage_events", postgresql_where=sa.text("state = 'unpaid'"))
    op.drop_index(op.f("ix_usage_events_meter_occurred_at"), table_name="usage_events")
    op.drop_index(op.f("ix_usage_events_account_id_id"), table_name="usage_events")
    op.drop_table("usage_events")
    op.drop_table("meter_prices")
    op.drop_table("document_lines")
    op.drop_table("budget_uses")
    op.drop_table("wallet_baselines")
    op.drop_table("meters")
    op.drop_index(op.f("ix_members_account_id"), table_name="members")
    op.drop_table("members")
    op.drop_index(
        "uq_documents_period", table_name="documents", postgresql_where=sa.text("kind = 'invoice' AND state <> 'void'")
    )
    op.drop_index(
        op.f("ix_documents_credits_id"), table_name="documents", postgresql_where=sa.text("credits_id IS NOT NULL")
    )
    op.drop_index(op.f("ix_documents_account_id_id"), table_name="documents")
    op.drop_table("documents")
    op.drop_index(
        "uq_budgets_open",
        table_name="budgets",
        postgresql_where=sa.text("ended_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )
    op.drop_table("budgets")
    op.drop_index(op.f("ix_alerts_account_id_id"), table_name="alerts")
    op.drop_table("alerts")
    op.drop_table("fees")
    op.drop_table("document_numbers")
    op.drop_table("audited_balances")
    op.drop_table("audit_runs")
    op.drop_table("audit_mark")
    op.drop_index(op.f("ix_audit_log_subject_id"), table_name="audit_log")
    op.drop_index(op.f("ix_audit_log_actor_id_id"), table_name="audit_log")
    op.drop_table("audit_log")
