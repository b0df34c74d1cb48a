"""The swarm: what a fleet should be, nodes that join from afar, facts and leases that agents share, incidents."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
UP = ("0004_coordination.sql", "0004_dead_letters.sql", "0004_health.sql", "0004_remote.sql")
DOWN = ("0004_remote_down.sql", "0004_health_down.sql", "0004_dead_letters_down.sql", "0004_coordination_down.sql")


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "facts",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_facts")),
    )
    op.create_index(
        "ix_facts_expiry", "facts", ["expires_at"], unique=False, postgresql_where=sa.text("expires_at IS NOT NULL")
    )
    op.create_index(op.f("ix_facts_owner"), "facts", ["owner"], unique=False)
    op.create_table(
        "fleet_decisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replicas_before", sa.Integer(), nullable=False),
        sa.Column("replicas_after", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_decisions")),
    )
    op.create_index(op.f("ix_fleet_decisions_name_id"), "fleet_decisions", ["name", "id"], unique=False)
    op.create_table(
        "fleet_managers",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("manager_id", sa.Uuid(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_fleet_managers_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_managers")),
    )
    op.create_table(
        "joint_tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("quorum", sa.Integer(), nullable=True),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("opener", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(policy = 'quorum') = (quorum IS NOT NULL)", name=op.f("ck_joint_tasks_quorum_by_policy")),
        sa.CheckConstraint("(state = 'open') = (decided_at IS NULL)", name=op.f("ck_joint_tasks_decided_has_time")),
        sa.CheckConstraint("policy IN ('all', 'collect', 'quorum')", name=op.f("ck_joint_tasks_policy")),
        sa.CheckConstraint("state IN ('open', 'done', 'failed', 'cancelled')", name=op.f("ck_joint_tasks_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_joint_tasks")),
    )
    op.create_index(
        "ix_joint_tasks_decided",
        "joint_tasks",
        ["decided_at"],
        unique=False,
        postgresql_where=sa.text("decided_at IS NOT NULL"),
    )
    op.create_index(
        "ix_joint_tasks_open", "joint_tasks", ["kind", "id"], unique=False, postgresql_where=sa.text("state = 'open'")
    )
    op.create_table(
        "named_leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(holder IS NULL) = (expires_at IS NULL)", name=op.f("ck_named_leases_held_until")),
        sa.CheckConstraint("fence >= 0", name=op.f("ck_named_leases_fence_counts")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_named_leases")),
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acked_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('agent_lost', 'crash_loop', 'queue_old', 'breaker_open', 'audit_mismatch', 'sla_at_risk', 'budget', 'node_lost')",
            name=op.f("ck_incidents_kind"),
        ),
        sa.CheckConstraint("severity IN ('warning', 'critical')", name=op.f("ck_incidents_severity")),
        sa.ForeignKeyConstraint(["acked_by"], ["accounts.id"], name=op.f("fk_incidents_acked_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_index(
        "ix_incidents_resolved",
        "incidents",
        ["resolved_at"],
        unique=False,
        postgresql_where=sa.text("resolved_at IS NOT NULL"),
    )
    op.create_index(
        "uq_incidents_open",
        "incidents",
        ["kind", "subject"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "joint_parts",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("claimer", sa.Text(), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state = 'claimed') = (claimed_until IS NOT NULL)", name=op.f("ck_joint_parts_claimed_until_then")
        ),
        sa.CheckConstraint("(state = 'done') = (result IS NOT NULL)", name=op.f("ck_joint_parts_done_has_result")),
        sa.CheckConstraint(
            "state IN ('waiting', 'claimed', 'done', 'failed', 'cancelled')", name=op.f("ck_joint_parts_state")
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["joint_tasks.id"], name=op.f("fk_joint_parts_task_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_id", "seq", name=op.f("pk_joint_parts")),
    )
    op.create_index(
        "ix_joint_parts_claims",
        "joint_parts",
        ["claimed_until"],
        unique=False,
        postgresql_where=sa.text("state = 'claimed'"),
    )
    op.create_index(
        "ix_joint_parts_waiting",
        "joint_parts",
        ["task_id", "seq"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "remote_units",
        sa.Column("unit_id", sa.Uuid(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["unit_id"], ["units.id"], name=op.f("fk_remote_units_unit_id")),
        sa.PrimaryKeyConstraint("unit_id", name=op.f("pk_remote_units")),
    )
    op.create_index(
        op.f("ix_remote_units_queue_priority_unit_id"), "remote_units", ["queue", "priority", "unit_id"], unique=False
    )
    op.create_table(
        "incident_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "event IN ('opened', 'worsened', 'resolved', 'test')", name=op.f("ck_incident_deliveries_event")
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name=op.f("fk_incident_deliveries_incident_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_deliveries")),
    )
    op.create_index(op.f("ix_incident_deliveries_incident_id"), "incident_deliveries", ["incident_id"], unique=False)
    op.create_index(
        "ix_incident_deliveries_owed",
        "incident_deliveries",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_table(
        "join_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("resource_class", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("slots_max", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("node_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "resource_class IN ('mobile', 'fog', 'cloud', 'dedicated')", name=op.f("ck_join_tokens_resource_class")
        ),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_join_tokens_expires_later")),
        sa.CheckConstraint("slots_max > 0", name=op.f("ck_join_tokens_has_slots")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_join_tokens_account_id")),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_join_tokens_node_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_join_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_join_tokens_digest")),
    )
    op.create_index(
        "ix_join_tokens_open", "join_tokens", ["account_id"], unique=False, postgresql_where=sa.text("used_at IS NULL")
    )
    op.create_table(
        "node_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_node_keys_node_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_node_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_node_keys_digest")),
    )
    op.create_index(op.f("ix_node_keys_node_id"), "node_keys", ["node_id"], unique=False)
    op.create_table(
        "overstated_reports",
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.CheckConstraint("items > 0", name=op.f("ck_overstated_reports_some")),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_overstated_reports_node_id")),
        sa.PrimaryKeyConstraint("node_id", "day", name=op.f("pk_overstated_reports")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("unit_id", sa.Uuid(), nullable=True),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("excerpt", sa.Text(), nullable=True),
        sa.Column("died_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(kind = 'item') = (item_id IS NOT NULL AND order_id IS NOT NULL)", name=op.f("ck_dead_letters_item_has_id")
        ),
        sa.CheckConstraint(
            "excerpt IS NULL OR (kind = 'message' AND char_length(excerpt) <= 200)",
            name=op.f("ck_dead_letters_excerpt_is_short"),
        ),
        sa.CheckConstraint("kind IN ('item', 'message')", name=op.f("ck_dead_letters_kind")),
        sa.CheckConstraint(
            "reason IN ('failed', 'lapsed', 'oversized', 'corrupt', 'content_type', 'unknown_task', 'unknown_version', 'unknown_unit')",
            name=op.f("ck_dead_letters_reason"),
        ),
        sa.CheckConstraint("resolution IN ('retried', 'dropped')", name=op.f("ck_dead_letters_resolution")),
        sa.CheckConstraint(
            "(resolution IS NULL) = (resolved_at IS NULL)", name=op.f("ck_dead_letters_resolved_has_time")
        ),
        sa.ForeignKeyConstraint(["item_id"], ["work_items.id"], name=op.f("fk_dead_letters_item_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_dead_letters_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
    )
    op.create_index(
        "ix_dead_letters_open_item",
        "dead_letters",
        ["item_id"],
        unique=True,
        postgresql_where=sa.text("resolution IS NULL"),
    )
    op.create_index(
        "ix_dead_letters_open_message",
        "dead_letters",
        ["queue", "digest"],
        unique=True,
        postgresql_where=sa.text("resolution IS NULL AND kind = 'message'"),
    )
    op.create_index(op.f("ix_dead_letters_order_id"), "dead_letters", ["order_id"], unique=False)
    op.create_table(
        "sla_session_shares",
        sa.Column("session_window_id", sa.Uuid(), nullable=False),
        sa.Column("window_id", sa.Uuid(), nullable=False),
        sa.Column("charged_nano", sa.BigInteger(), nullable=False),
        sa.Column("withheld_nano", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "withheld_nano >= 0 AND charged_nano >= 0", name=op.f("ck_sla_session_shares_shares_positive")
        ),
        sa.ForeignKeyConstraint(
            ["session_window_id"], ["windows.id"], name=op.f("fk_sla_session_shares_session_window_id")
        ),
        sa.ForeignKeyConstraint(["window_id"], ["sla_windows.id"], name=op.f("fk_sla_session_shares_window_id")),
        sa.PrimaryKeyConstraint("session_window_id", name=op.f("pk_sla_session_shares")),
    )
    op.create_index(op.f("ix_sla_session_shares_window_id"), "sla_session_shares", ["window_id"], unique=False)
    op.add_column("agents", sa.Column("work_done", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("agents", sa.Column("work_waiting", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("agents", sa.Column("tick_age_ms", sa.BigInteger(), nullable=True))
    op.add_column("fleet", sa.Column("replicas_min", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("fleet", sa.Column("replicas_max", sa.Integer(), server_default=sa.text("100"), nullable=False))
    op.add_column("fleet", sa.Column("image", sa.Text(), nullable=True))
    op.add_column("fleet", sa.Column("cpu", sa.Double(), nullable=True))
    op.add_column("fleet", sa.Column("memory_mb", sa.Integer(), nullable=True))
    op.add_column(
        "fleet", sa.Column("policy", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True)
    )
    op.add_column("leases", sa.Column("measured", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.drop_constraint(op.f("fk_leases_order_id"), "leases", type_="foreignkey")
    op.drop_constraint(op.f("fk_trades_node_id"), "trades", type_="foreignkey")
    op.add_column("units", sa.Column("items", sa.Integer(), server_default=sa.text("0"), nullable=False))
    for script in UP:
        op.get_bind().exec_driver_sql((SQL / script).read_text())


def downgrade() -> None:
    """Back."""
    for script in DOWN:
        op.get_bind().exec_driver_sql((SQL / script).read_text())
    op.drop_column("units", "items")
    op.create_foreign_key(op.f("fk_trades_node_id"), "trades", "nodes", ["node_id"], ["id"])
    op.create_foreign_key(op.f("fk_leases_order_id"), "leases", "orders", ["order_id"], ["id"])
    op.drop_column("leases", "measured")
    op.drop_column("fleet", "policy")
    op.drop_column("fleet", "memory_mb")
    op.drop_column("fleet", "cpu")
    op.drop_column("fleet", "image")
    op.drop_column("fleet", "replicas_max")
    op.drop_column("fleet", "replicas_min")
    op.drop_column("agents", "tick_age_ms")
    op.drop_column("agents", "work_waiting")
    op.drop_column("agents", "work_done")
    op.drop_index(op.f("ix_sla_session_shares_window_id"), table_name="sla_session_shares")
    op.drop_table("sla_session_shares")
    op.drop_index(op.f("ix_dead_letters_order_id"), table_name="dead_letters")
    op.drop_index(
        "ix_dead_letters_open_message",
        table_name="dead_letters",
        postgresql_where=sa.text("resolution IS NULL AND kind = 'message'"),
    )
    op.drop_index(
        "ix_dead_letters_open_item", table_name="dead_letters", postgresql_where=sa.text("resolution IS NULL")
    )
    op.drop_table("dead_letters")
    op.drop_table("overstated_reports")
    op.drop_index(op.f("ix_node_keys_node_id"), table_name="node_keys")
    op.drop_table("node_keys")
    op.drop_index("ix_join_tokens_open", table_name="join_tokens", postgresql_where=sa.text("used_at IS NULL"))
    op.drop_table("join_tokens")
    op.drop_index(
        "ix_incident_deliveries_owed", table_name="incident_deliveries", postgresql_where=sa.text("done_at IS NULL")
    )
    op.drop_index(op.f("ix_incident_deliveries_incident_id"), table_name="incident_deliveries")
    op.drop_table("incident_deliveries")
    op.drop_index(op.f("ix_remote_units_queue_priority_unit_id"), table_name="remote_units")
    op.drop_table("remote_units")
    op.drop_index("ix_joint_parts_waiting", table_name="joint_parts", postgresql_where=sa.text("state = 'waiting'"))
    op.drop_index("ix_joint_parts_claims", table_name="joint_parts", postgresql_where=sa.text("state = 'claimed'"))
    op.drop_table("joint_parts")
    op.drop_index("uq_incidents_open", table_name="incidents", postgresql_where=sa.text("resolved_at IS NULL"))
    op.drop_index("ix_incidents_resolved", table_name="incidents", postgresql_where=sa.text("resolved_at IS NOT NULL"))
    op.drop_table("incidents")
    op.drop_table("named_leases")
    op.drop_index("ix_joint_tasks_open", table_name="joint_tasks", postgresql_where=sa.text("state = 'open'"))
    op.drop_index(
        "ix_joint_tasks_decided", table_name="joint_tasks", postgresql_where=sa.text("decided_at IS NOT NULL")
    )
    op.drop_table("joint_tasks")
    op.drop_table("fleet_managers")
    op.drop_index(op.f("ix_fleet_decisions_name_id"), table_name="fleet_decisions")
    op.drop_table("fleet_decisions")
    op.drop_index(op.f("ix_facts_owner"), table_name="facts")
    op.drop_index("ix_facts_expiry", table_name="facts", postgresql_where=sa.text("expires_at IS NOT NULL"))
    op.drop_table("facts")
