"""The inference platform: limits of keys, allowances, the registry, files and batches."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
UP = (
    "0005_allowances.sql",
    "0005_batches.sql",
    "0005_kinds.sql",
    "0005_peers.sql",
    "0005_registry.sql",
    "0005_sealing.sql",
    "0005_work_plans.sql",
)
DOWN = (
    "0005_work_plans_down.sql",
    "0005_sealing_down.sql",
    "0005_registry_down.sql",
    "0005_peers_down.sql",
    "0005_kinds_down.sql",
    "0005_batches_down.sql",
    "0005_allowances_down.sql",
)


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "gateways",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateways")),
    )
    op.create_table(
        "kept_secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_kept_secrets")),
    )
    op.create_table(
        "account_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_account_deliveries_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_deliveries")),
    )
    op.create_index(
        "ix_account_deliveries_owed",
        "account_deliveries",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_index(op.f("ix_account_deliveries_subject"), "account_deliveries", ["subject"], unique=False)
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("input_file_id", sa.Uuid(), nullable=False),
        sa.Column("completion_window", sa.Text(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("webhook", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("completed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("errors", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("output_file_id", sa.Uuid(), nullable=True),
        sa.Column("error_file_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("in_progress_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelling_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finalizing_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tidied_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state IN ('failed', 'completed', 'expired', 'cancelled')) = (ended_at IS NOT NULL)",
            name=op.f("ck_batches_ended_has_time"),
        ),
        sa.CheckConstraint(
            "state IN ('validating', 'failed', 'in_progress', 'finalizing', 'completed', 'expired', 'cancelling', 'cancelled')",
            name=op.f("ck_batches_state"),
        ),
        sa.CheckConstraint(
            "completed >= 0 AND failed >= 0 AND completed + failed <= total",
            name=op.f("ck_batches_counts_within_total"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_batches_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_index(op.f("ix_batches_account_id_id"), "batches", ["account_id", "id"], unique=False)
    op.create_index(
        "ix_batches_due", "batches", ["claimed_until"], unique=False, postgresql_where=sa.text("tidied_at IS NULL")
    )
    op.create_index(
        "ix_batches_inputs", "batches", ["input_file_id"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose IN ('batch', 'batch_output')", name=op.f("ck_files_purpose")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_files_size_not_negative")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_files_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
    )
    op.create_index(op.f("ix_files_account_id_id"), "files", ["account_id", "id"], unique=False)
    op.create_index(
        "ix_files_deleted", "files", ["id"], unique=False, postgresql_where=sa.text("deleted_at IS NOT NULL")
    )
    op.create_index("ix_files_expiring", "files", ["expires_at"], unique=False)
    op.create_table(
        "model_aliases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["name", "version"], ["models.name", "models.version"], name=op.f("fk_model_aliases_name_version")
        ),
        sa.PrimaryKeyConstraint("name", "alias", name=op.f("pk_model_aliases")),
    )
    op.create_table(
        "model_names",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["accounts.id"], name=op.f("fk_model_names_owner_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_model_names")),
    )
    op.create_table(
        "model_uploads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("received_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("chunks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "received_bytes BETWEEN 0 AND size_bytes", name=op.f("ck_model_uploads_received_within_size")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_model_uploads_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_uploads")),
    )
    op.create_index(
        op.f("ix_model_uploads_account_id_name_sha256"), "model_uploads", ["account_id", "name", "sha256"], unique=True
    )
    op.create_index(op.f("ix_model_uploads_expires_at"), "model_uploads", ["expires_at"], unique=False)
    op.create_table(
        "external_nodes",
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=True),
        sa.Column("public_only", sa.Boolean(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'new'"), nullable=False),
        sa.Column("told", sa.Text(), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('new', 'up', 'down')", name=op.f("ck_external_nodes_state")),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_external_nodes_node_id")),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_external_nodes")),
    )
    op.create_table(
        "key_limits",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("tokens_per_minute", sa.Integer(), nullable=True),
        sa.Column("in_flight", sa.Integer(), nullable=True),
        sa.Column("set_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("side IN ('operator', 'owner')", name=op.f("ck_key_limits_side")),
        sa.CheckConstraint("in_flight > 0", name=op.f("ck_key_limits_in_flight_positive")),
        sa.CheckConstraint(
            "num_nonnulls(requests_per_minute, tokens_per_minute, in_flight) > 0",
            name=op.f("ck_key_limits_limits_something"),
        ),
        sa.CheckConstraint("requests_per_minute > 0", name=op.f("ck_key_limits_requests_positive")),
        sa.CheckConstraint("tokens_per_minute > 0", name=op.f("ck_key_limits_tokens_positive")),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_key_limits_key_id")),
        sa.ForeignKeyConstraint(["set_by"], ["accounts.id"], name=op.f("fk_key_limits_set_by")),
        sa.PrimaryKeyConstraint("key_id", "side", name=op.f("pk_key_limits")),
    )
    op.create_table(
        "model_chunks",
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("start_byte", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["model_uploads.id"], name=op.f("fk_model_chunks_upload_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("upload_id", "start_byte", name=op.f("pk_model_chunks")),
    )
    op.create_table(
        "sealing_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("challenge", sa.LargeBinary(), nullable=True),
        sa.Column("answer_digest", sa.LargeBinary(), nullable=True),
        sa.Column("challenged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proven_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state IN ('replaced', 'revoked')) = (ended_at IS NOT NULL)", name=op.f("ck_sealing_keys_ended_has_time")
        ),
        sa.CheckConstraint(
            "state <> 'verified' OR verified_at IS NOT NULL", name=op.f("ck_sealing_keys_verified_has_time")
        ),
        sa.CheckConstraint(
            "state IN ('registered', 'proven', 'verified', 'replaced', 'revoked')", name=op.f("ck_sealing_keys_state")
        ),
        sa.CheckConstraint("octet_length(public) = 32", name=op.f("ck_sealing_keys_is_x25519")),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_sealing_keys_node_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sealing_keys")),
        sa.UniqueConstraint("node_id", "public", name=op.f("uq_sealing_keys_node_id_public")),
    )
    op.create_index(
        "ix_sealing_keys_ended",
        "sealing_keys",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('replaced', 'revoked')"),
    )
    op.create_index(
        "ix_sealing_keys_registered",
        "sealing_keys",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state = 'registered'"),
    )
    op.create_index(
        "uq_sealing_keys_verified",
        "sealing_keys",
        ["node_id"],
        unique=True,
        postgresql_where=sa.text("state = 'verified'"),
    )
    op.create_table(
        "batch_chunks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("from_byte", sa.BigInteger(), nullable=False),
        sa.Column("to_byte", sa.BigInteger(), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("output_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "(state = 'placed') <= (order_id IS NOT NULL)", name=op.f("ck_batch_chunks_placed_has_order")
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'placed', 'refused', 'collected')", name=op.f("ck_batch_chunks_state")
        ),
        sa.CheckConstraint("completed >= 0 AND failed >= 0", name=op.f("ck_batch_chunks_counts_not_negative")),
        sa.CheckConstraint("output_bytes >= 0", name=op.f("ck_batch_chunks_output_bytes_not_negative")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_batch_chunks_batch_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_batch_chunks_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch_chunks")),
        sa.UniqueConstraint("batch_id", "number", name=op.f("uq_batch_chunks_batch_id_number")),
        sa.UniqueConstraint("order_id", name=op.f("uq_batch_chunks_order_id")),
    )
    op.create_table(
        "gateway_orders",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_open", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_gateway_orders_order_id")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_gateway_orders")),
    )
    op.create_index(
        "ix_gateway_orders_open", "gateway_orders", ["gateway_id"], unique=False, postgresql_where=sa.text("is_open")
    )
    op.create_table(
        "order_webhooks",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_order_webhooks_account_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_webhooks_order_id")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_order_webhooks")),
    )
    op.create_table(
        "private_recipients",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["sealing_keys.id"], name=op.f("fk_private_recipients_key_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_private_recipients_order_id")),
        sa.PrimaryKeyConstraint("order_id", "key_id", name=op.f("pk_private_recipients")),
    )
    op.create_index(op.f("ix_private_recipients_key_id"), "private_recipients", ["key_id"], unique=False)
    op.create_table(
        "pooled_uses",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("busy_us", sa.BigInteger(), nullable=False),
        sa.Column("charged_nano", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("requests > 0 AND busy_us >= 0 AND charged_nano >= 0", name=op.f("ck_pooled_uses_used")),
        sa.ForeignKeyConstraint(["lease_id"], ["leases.id"], name=op.f("fk_pooled_uses_lease_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_pooled_uses_order_id")),
        sa.PrimaryKeyConstraint("order_id", "lease_id", name=op.f("pk_pooled_uses")),
    )
    op.add_column("models", sa.Column("format", sa.Text(), server_default=sa.text("'onnx'"), nullable=False))
    op.add_column("models", sa.Column("stage", sa.Text(), server_default=sa.text("'none'"), nullable=False))
    op.add_column("models", sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column(
        "models",
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("models", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "uq_models_in_production",
        "models",
        ["name"],
        unique=True,
        postgresql_where=sa.text("stage = 'production' AND deleted_at IS NULL"),
    )
    op.add_column("nodes", sa.Column("external", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("orders", sa.Column("traceparent", sa.Text(), nullable=True))
    op.add_column("orders", sa.Column("private", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("units", sa.Column("traces", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_models_stage"), "models", "stage IN ('none', 'staging', 'production', 'archived')"
    )
    op.create_check_constraint(op.f("ck_models_format"), "models", "format IN ('onnx', 'remote')")
    for script in UP:
        op.get_bind().exec_driver_sql((SQL / script).read_text())


def downgrade() -> None:
    """Back."""
    for script in DOWN:
        op.get_bind().exec_driver_sql((SQL / script).read_text())
    op.drop_constraint(op.f("ck_models_stage"), "models", type_="check")
    op.drop_constraint(op.f("ck_models_format"), "models", type_="check")
    op.drop_column("units", "traces")
    op.drop_column("orders", "private")
    op.drop_column("orders", "traceparent")
    op.drop_column("nodes", "external")
    op.drop_index(
        "uq_models_in_production",
        table_name="models",
        postgresql_where=sa.text("stage = 'production' AND deleted_at IS NULL"),
    )
    op.drop_column("models", "deleted_at")
    op.drop_column("models", "tags")
    op.drop_column("models", "description")
    op.drop_column("models", "stage")
    op.drop_column("models", "format")
    op.drop_table("pooled_uses")
    op.drop_index(op.f("ix_private_recipients_key_id"), table_name="private_recipients")
    op.drop_table("private_recipients")
    op.drop_table("order_webhooks")
    op.drop_index("ix_gateway_orders_open", table_name="gateway_orders", postgresql_where=sa.text("is_open"))
    op.drop_table("gateway_orders")
    op.drop_table("batch_chunks")
    op.drop_index("uq_sealing_keys_verified", table_name="sealing_keys", postgresql_where=sa.text("state = 'verified'"))
    op.drop_index(
        "ix_sealing_keys_registered", table_name="sealing_keys", postgresql_where=sa.text("state = 'registered'")
    )
    op.drop_index(
        "ix_sealing_keys_ended", table_name="sealing_keys", postgresql_where=sa.text("state IN ('replaced', 'revoked')")
    )
    op.drop_table("sealing_keys")
    op.drop_table("model_chunks")
    op.drop_table("key_limits")
    op.drop_table("external_nodes")
    op.drop_index(op.f("ix_model_uploads_expires_at"), table_name="model_uploads")
    op.drop_index(op.f("ix_model_uploads_account_id_name_sha256"), table_name="model_uploads")
    op.drop_table("model_uploads")
    op.drop_table("model_names")
    op.drop_table("model_aliases")
    op.drop_index("ix_files_expiring", table_name="files")
    op.drop_index("ix_files_deleted", table_name="files", postgresql_where=sa.text("deleted_at IS NOT NULL"))
    op.drop_index(op.f("ix_files_account_id_id"), table_name="files")
    op.drop_table("files")
    op.drop_index("ix_batches_inputs", table_name="batches", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index("ix_batches_due", table_name="batches", postgresql_where=sa.text("tidied_at IS NULL"))
    op.drop_index(op.f("ix_batches_account_id_id"), table_name="batches")
    op.drop_table("batches")
    op.drop_index(op.f("ix_account_deliveries_subject"), table_name="account_deliveries")
    op.drop_index(
        "ix_account_deliveries_owed", table_name="account_deliveries", postgresql_where=sa.text("done_at IS NULL")
    )
    op.drop_table("account_deliveries")
    op.drop_table("kept_secrets")
    op.drop_table("gateways")
