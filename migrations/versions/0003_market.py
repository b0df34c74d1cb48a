"""The market: needs and hardware, sealed epochs, versioned tiers, price history, regions, trust and service levels."""

from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
NANO_PER_CREDIT = 1_000_000_000
SINCE = datetime(1970, 1, 1, tzinfo=UTC)
# tier, classes, slots, credits a request and a month, p95 in ms, uptime, weight, reserved share, [below uptime, credit]
TIERS = [
    ("small", ["mobile", "fog"], 4, 5, 100, 2000, 990000, 1, 100000, [[990000, 300000], [950000, 1000000]]),
    (
        "medium",
        ["fog", "cloud"],
        64,
        100,
        2000,
        1000,
        995000,
        2,
        200000,
        [[995000, 100000], [990000, 300000], [950000, 1000000]],
    ),
    (
        "large",
        ["cloud"],
        256,
        1000,
        50000,
        300,
        999000,
        4,
        300000,
        [[999000, 100000], [990000, 300000], [950000, 1000000]],
    ),
    (
        "enterprise",
        ["dedicated", "cloud"],
        1024,
        10000,
        1000000,
        100,
        999900,
        8,
        400000,
        [[999900, 100000], [990000, 300000], [950000, 1000000]],
    ),
]


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "market_rules",
        sa.Column("resource_class", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("mechanism", sa.Text(), nullable=False),
        sa.Column("floor_nano", sa.BigInteger(), nullable=False),
        sa.Column("cap_nano", sa.BigInteger(), nullable=False),
        sa.Column("target_ppm", sa.Integer(), nullable=False),
        sa.CheckConstraint("mechanism IN ('uniform', 'mcafee')", name=op.f("ck_market_rules_mechanism")),
        sa.CheckConstraint(
            "resource_class IN ('mobile', 'fog', 'cloud', 'dedicated')", name=op.f("ck_market_rules_resource_class")
        ),
        sa.CheckConstraint("0 < floor_nano AND floor_nano <= cap_nano", name=op.f("ck_market_rules_floor_below_cap")),
        sa.CheckConstraint("target_ppm BETWEEN 1 AND 999999", name=op.f("ck_market_rules_target_is_a_share")),
        sa.PrimaryKeyConstraint("resource_class", "region", name=op.f("pk_market_rules")),
    )
    op.create_table(
        "price_points",
        sa.Column("resource_class", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spot_nano_per_slot_s", sa.BigInteger(), nullable=False),
        sa.Column("utilisation_ppm", sa.Integer(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("busy_slots", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("resource_class", "region", "at", name=op.f("pk_price_points")),
    )
    op.create_table(
        "region_links",
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("other", sa.Text(), nullable=False),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.CheckConstraint("latency_ms >= 0", name=op.f("ck_region_links_latency_positive")),
        sa.CheckConstraint("region < other", name=op.f("ck_region_links_written_once")),
        sa.PrimaryKeyConstraint("region", "other", name=op.f("pk_region_links")),
    )
    op.create_table(
        "tier_versions",
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("classes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("slots_max", sa.Integer(), nullable=False),
        sa.Column("request_cap_nano", sa.BigInteger(), nullable=False),
        sa.Column("month_cap_nano", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms_p95", sa.Integer(), nullable=False),
        sa.Column("uptime_ppm", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("reserved_ppm", sa.Integer(), nullable=False),
        sa.Column("ladder", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("tier IN ('small', 'medium', 'large', 'enterprise')", name=op.f("ck_tier_versions_tier")),
        sa.CheckConstraint(
            "latency_ms_p95 > 0 AND uptime_ppm BETWEEN 0 AND 1000000", name=op.f("ck_tier_versions_targets")
        ),
        sa.CheckConstraint(
            "slots_max > 0 AND request_cap_nano > 0 AND month_cap_nano > 0",
            name=op.f("ck_tier_versions_limits_positive"),
        ),
        sa.CheckConstraint("weight > 0 AND reserved_ppm BETWEEN 0 AND 1000000", name=op.f("ck_tier_versions_shares")),
        sa.PrimaryKeyConstraint("tier", "version", name=op.f("pk_tier_versions")),
    )
    op.create_table(
        "sla_windows",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("requests", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("histogram", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("charged_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("withheld_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("latency_ms_p95", sa.Integer(), nullable=True),
        sa.Column("uptime_ppm", sa.Integer(), nullable=True),
        sa.Column("credit_ppm", sa.Integer(), nullable=True),
        sa.Column("credit_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name=op.f("ck_sla_windows_closed_has_time")),
        sa.CheckConstraint("state IN ('open', 'closed')", name=op.f("ck_sla_windows_state")),
        sa.CheckConstraint("tier IN ('small', 'medium', 'large', 'enterprise')", name=op.f("ck_sla_windows_tier")),
        sa.CheckConstraint("credit_nano <= withheld_nano", name=op.f("ck_sla_windows_credit_within_withheld")),
        sa.CheckConstraint("credit_nano BETWEEN 0 AND charged_nano", name=op.f("ck_sla_windows_credit_within_charge")),
        sa.CheckConstraint(
            "requests >= 0 AND failures BETWEEN 0 AND requests", name=op.f("ck_sla_windows_failures_are_requests")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_sla_windows_account_id")),
        sa.ForeignKeyConstraint(["provider_id"], ["accounts.id"], name=op.f("fk_sla_windows_provider_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sla_windows")),
    )
    op.create_index(op.f("ix_sla_windows_account_id_id"), "sla_windows", ["account_id", "id"], unique=False)
    op.create_index(op.f("ix_sla_windows_provider_id_id"), "sla_windows", ["provider_id", "id"], unique=False)
    op.create_index(
        "uq_sla_windows_open",
        "sla_windows",
        ["account_id", "provider_id", "tier"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "trust_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('served', 'failed', 'lapsed', 'lost', 'canary_passed', 'canary_failed', 'update_rejected')",
            name=op.f("ck_trust_events_kind"),
        ),
        sa.CheckConstraint("count > 0", name=op.f("ck_trust_events_count_positive")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_trust_events_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trust_events")),
    )
    op.create_index(op.f("ix_trust_events_node_id_id"), "trust_events", ["node_id", "id"], unique=False)
    op.create_table(
        "node_models",
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_node_models_model_id")),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_node_models_node_id")),
        sa.PrimaryKeyConstraint("node_id", "model_id", name=op.f("pk_node_models")),
    )
    op.create_table(
        "sla_shares",
        sa.Column("window_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("charged_nano", sa.BigInteger(), nullable=False),
        sa.Column("withheld_nano", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("withheld_nano >= 0 AND charged_nano >= 0", name=op.f("ck_sla_shares_shares_positive")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_sla_shares_order_id")),
        sa.ForeignKeyConstraint(["window_id"], ["sla_windows.id"], name=op.f("fk_sla_shares_window_id")),
        sa.PrimaryKeyConstraint("window_id", "order_id", name=op.f("pk_sla_shares")),
    )
    op.add_column("epochs", sa.Column("rules", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("epochs", sa.Column("book", sa.LargeBinary(), nullable=True))
    op.add_column("epochs", sa.Column("trades_digest", sa.LargeBinary(), nullable=True))
    op.add_column("epochs", sa.Column("repeats", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("epochs", sa.Column("repeated_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_epochs_kept", "epochs", ["cleared_at"], unique=False, postgresql_where=sa.text("book IS NOT NULL")
    )
    op.add_column("leases", sa.Column("earns_nano_per_slot_s", sa.BigInteger(), nullable=True))
    op.execute("UPDATE leases SET earns_nano_per_slot_s = price_nano_per_slot_s")
    op.alter_column("leases", "earns_nano_per_slot_s", nullable=False)
    op.add_column("leases", sa.Column("leave_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_leases_leaving",
        "leases",
        ["leave_at"],
        unique=False,
        postgresql_where=sa.text("state = 'active' AND leave_at IS NOT NULL"),
    )
    op.add_column("nodes", sa.Column("cores", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.add_column("nodes", sa.Column("memory_mb", sa.Integer(), server_default=sa.text("1024"), nullable=False))
    op.add_column("nodes", sa.Column("gpu_model", sa.Text(), nullable=True))
    op.add_column("nodes", sa.Column("gpu_memory_mb", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("nodes", sa.Column("accelerators", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("nodes", sa.Column("residency", sa.Text(), nullable=True))
    op.add_column("nodes", sa.Column("latency_ms", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("nodes", sa.Column("trust_ppm", sa.Integer(), server_default=sa.text("50000"), nullable=False))
    op.add_column(
        "orders",
        sa.Column("needs", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("orders", sa.Column("interruptible", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("orders", sa.Column("sla", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("orders", sa.Column("sla_counted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("orders", sa.Column("hint", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_index(
        "ix_orders_sla_uncounted",
        "orders",
        ["id"],
        unique=False,
        postgresql_where=sa.text("sla AND sla_counted_at IS NULL AND closed_at IS NOT NULL"),
    )
    op.add_column("trades", sa.Column("earns_nano_per_slot_s", sa.BigInteger(), nullable=True))
    op.execute("UPDATE trades SET earns_nano_per_slot_s = price_nano_per_slot_s")
    op.alter_column("trades", "earns_nano_per_slot_s", nullable=False)
    op.create_check_constraint(
        op.f("ck_nodes_has_hardware"),
        "nodes",
        "cores > 0 AND memory_mb > 0 AND gpu_memory_mb >= 0 AND accelerators >= 0 AND latency_ms >= 0",
    )
    op.create_check_constraint(op.f("ck_nodes_trust_is_a_share"), "nodes", "trust_ppm BETWEEN 0 AND 1000000")
    tiers = sa.table(
        "tier_versions",
        *(sa.column(name) for name in ("tier", "version", "slots_max", "request_cap_nano", "month_cap_nano")),
        *(sa.column(name) for name in ("latency_ms_p95", "uptime_ppm", "weight", "reserved_ppm")),
        sa.column("classes", postgresql.JSONB()),
        sa.column("ladder", postgresql.JSONB()),
        sa.column("valid_from", sa.DateTime(timezone=True)),
        sa.column("created_at", sa.DateTime(timezone=True)),
    )
    op.bulk_insert(tiers, [_tier(*row) for row in TIERS])
    for script in ("0003_trust.sql",):
        op.get_bind().exec_driver_sql((SQL / script).read_text())


def downgrade() -> None:
    """Back."""
    for script in ("0003_trust_down.sql",):
        op.get_bind().exec_driver_sql((SQL / script).read_text())
    op.drop_constraint(op.f("ck_nodes_has_hardware"), "nodes", type_="check")
    op.drop_constraint(op.f("ck_nodes_trust_is_a_share"), "nodes", type_="check")
    op.drop_column("trades", "earns_nano_per_slot_s")
    op.drop_index(
        "ix_orders_sla_uncounted",
        table_name="orders",
        postgresql_where=sa.text("sla AND sla_counted_at IS NULL AND closed_at IS NOT NULL"),
    )
    op.drop_column("orders", "hint")
    op.drop_column("orders", "sla_counted_at")
    op.drop_column("orders", "sla")
    op.drop_column("orders", "interruptible")
    op.drop_column("orders", "needs")
    op.drop_column("nodes", "trust_ppm")
    op.drop_column("nodes", "latency_ms")
    op.drop_column("nodes", "residency")
    op.drop_column("nodes", "accelerators")
    op.drop_column("nodes", "gpu_memory_mb")
    op.drop_column("nodes", "gpu_model")
    op.drop_column("nodes", "memory_mb")
    op.drop_column("nodes", "cores")
    op.drop_index(
        "ix_leases_leaving", table_name="leases", postgresql_where=sa.text("state = 'active' AND leave_at IS NOT NULL")
    )
    op.drop_column("leases", "leave_at")
    op.drop_column("leases", "earns_nano_per_slot_s")
    op.drop_index("ix_epochs_kept", table_name="epochs", postgresql_where=sa.text("book IS NOT NULL"))
    op.drop_column("epochs", "repeated_at")
    op.drop_column("epochs", "repeats")
    op.drop_column("epochs", "trades_digest")
    op.drop_column("epochs", "book")
    op.drop_column("epochs", "rules")
    op.drop_table("sla_shares")
    op.drop_table("node_models")
    op.drop_index(op.f("ix_trust_events_node_id_id"), table_name="trust_events")
    op.drop_table("trust_events")
    op.drop_index("uq_sla_windows_open", table_name="sla_windows", postgresql_where=sa.text("state = 'open'"))
    op.drop_index(op.f("ix_sla_windows_provider_id_id"), table_name="sla_windows")
    op.drop_index(op.f("ix_sla_windows_account_id_id"), table_name="sla_windows")
    op.drop_table("sla_windows")
    op.drop_table("tier_versions")
    op.drop_table("region_links")
    op.drop_table("price_points")
    op.drop_table("market_rules")


def _tier(
    name: str,
    classes: list[str],
    slots: int,
    request: int,
    month: int,
    latency_ms: int,
    uptime: int,
    weight: int,
    reserved: int,
    ladder: list[list[int]],
) -> dict[str, object]:
    return {
        "tier": name,
        "version": 1,
        "classes": classes,
        "slots_max": slots,
        "request_cap_nano": request * NANO_PER_CREDIT,
        "month_cap_nano": month * NANO_PER_CREDIT,
        "latency_ms_p95": latency_ms,
        "uptime_ppm": uptime,
        "weight": weight,
        "reserved_ppm": reserved,
        "ladder": ladder,
        "valid_from": SINCE,
        "created_at": SINCE,
    }
