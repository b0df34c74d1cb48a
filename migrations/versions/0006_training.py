"""Federated training: jobs, rounds, participants and nodes; work that is judged; trainers; the agent that drives it."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
UP = ("0006_judged.sql", "0006_trainers.sql", "0006_kinds.sql")
DOWN = ("0006_kinds_down.sql", "0006_trainers_down.sql", "0006_judged_down.sql")


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "training_jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("trainer_model_id", sa.Uuid(), nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("round", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed_rounds", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("weights", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("strategy_state", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("best_value", sa.Float(), nullable=True),
        sa.Column("best_round", sa.Integer(), nullable=True),
        sa.Column("stale_rounds", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("epsilon", sa.Float(), nullable=True),
        sa.Column("result_model_id", sa.Uuid(), nullable=True),
        sa.Column("result_error", sa.Text(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(
            "(state IN ('done', 'failed', 'cancelled')) = (ended_at IS NOT NULL)",
            name=op.f("ck_training_jobs_ended_has_time"),
        ),
        sa.CheckConstraint(
            "state IN ('selecting', 'running', 'aggregating', 'evaluating', 'exporting', 'done', 'failed', 'cancelled')",
            name=op.f("ck_training_jobs_state"),
        ),
        sa.CheckConstraint("ended_at IS NULL OR reason IS NOT NULL", name=op.f("ck_training_jobs_ended_explained")),
        sa.CheckConstraint(
            "round >= 0 AND failed_rounds >= 0 AND stale_rounds >= 0", name=op.f("ck_training_jobs_counts_not_negative")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_training_jobs_account_id")),
        sa.ForeignKeyConstraint(["result_model_id"], ["models.id"], name=op.f("fk_training_jobs_result_model_id")),
        sa.ForeignKeyConstraint(["trainer_model_id"], ["models.id"], name=op.f("fk_training_jobs_trainer_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_jobs")),
    )
    op.create_index(op.f("ix_training_jobs_account_id_id"), "training_jobs", ["account_id", "id"], unique=False)
    op.create_index(
        "ix_training_jobs_due",
        "training_jobs",
        ["claimed_until"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "training_rounds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("weights", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("epsilon", sa.Float(), nullable=True),
        sa.CheckConstraint("(state = 'open') = (ended_at IS NULL)", name=op.f("ck_training_rounds_ended_has_time")),
        sa.CheckConstraint(
            "(state = 'aggregated') <= (weights IS NOT NULL)", name=op.f("ck_training_rounds_aggregated_has_weights")
        ),
        sa.CheckConstraint(
            "state IN ('open', 'aggregated', 'failed', 'cancelled')", name=op.f("ck_training_rounds_state")
        ),
        sa.CheckConstraint("number > 0 AND attempt > 0", name=op.f("ck_training_rounds_numbers_positive")),
        sa.CheckConstraint("wanted > 0", name=op.f("ck_training_rounds_wanted_positive")),
        sa.ForeignKeyConstraint(["job_id"], ["training_jobs.id"], name=op.f("fk_training_rounds_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_rounds")),
        sa.UniqueConstraint("job_id", "number", "attempt", name=op.f("uq_training_rounds_job_id_number_attempt")),
    )
    op.create_index(
        "uq_training_rounds_open",
        "training_rounds",
        ["job_id"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "training_nodes",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("asked", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("accepted", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("declined", sa.Text(), nullable=True),
        sa.Column("examples", sa.Integer(), nullable=True),
        sa.Column("fit_us", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "partition >= 0 AND asked >= 0 AND accepted >= 0 AND failed >= 0",
            name=op.f("ck_training_nodes_counts_not_negative"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["training_jobs.id"], name=op.f("fk_training_nodes_job_id")),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_training_nodes_node_id")),
        sa.PrimaryKeyConstraint("job_id", "node_id", name=op.f("pk_training_nodes")),
        sa.UniqueConstraint("job_id", "partition", name=op.f("uq_training_nodes_job_id_partition")),
    )
    op.create_table(
        "training_participants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("round_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("examples", sa.Integer(), nullable=True),
        sa.Column("update_sha256", sa.Text(), nullable=True),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'accepted') <= (update_sha256 IS NOT NULL)",
            name=op.f("ck_training_participants_accepted_has_update"),
        ),
        sa.CheckConstraint(
            "(state = 'rejected') <= (reason IS NOT NULL)", name=op.f("ck_training_participants_rejected_explained")
        ),
        sa.CheckConstraint(
            "state IN ('asked', 'reported') OR ended_at IS NOT NULL",
            name=op.f("ck_training_participants_ended_has_time"),
        ),
        sa.CheckConstraint(
            "state IN ('asked', 'reported', 'accepted', 'rejected', 'dropped', 'late')",
            name=op.f("ck_training_participants_state"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["training_jobs.id"], name=op.f("fk_training_participants_job_id")),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_training_participants_node_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_training_participants_order_id")),
        sa.ForeignKeyConstraint(["round_id"], ["training_rounds.id"], name=op.f("fk_training_participants_round_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_participants")),
        sa.UniqueConstraint("order_id", name=op.f("uq_training_participants_order_id")),
        sa.UniqueConstraint("round_id", "node_id", name=op.f("uq_training_participants_round_id_node_id")),
    )
    op.create_index(op.f("ix_training_participants_job_id"), "training_participants", ["job_id"], unique=False)
    op.add_column("work_items", sa.Column("judged", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index(
        "ix_work_items_reported",
        "work_items",
        ["order_id"],
        unique=False,
        postgresql_where=sa.text("state = 'reported'"),
    )
    for name in UP:
        op.get_bind().exec_driver_sql((SQL / name).read_text())


def downgrade() -> None:
    """Back; what training was, is forgotten, and what waits to be judged stays unpaid."""
    for name in DOWN:
        op.get_bind().exec_driver_sql((SQL / name).read_text())
    op.drop_index("ix_work_items_reported", table_name="work_items", postgresql_where=sa.text("state = 'reported'"))
    op.drop_column("work_items", "judged")
    op.drop_index(op.f("ix_training_participants_job_id"), table_name="training_participants")
    op.drop_table("training_participants")
    op.drop_table("training_nodes")
    op.drop_index("uq_training_rounds_open", table_name="training_rounds", postgresql_where=sa.text("state = 'open'"))
    op.drop_table("training_rounds")
    op.drop_index("ix_training_jobs_due", table_name="training_jobs", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index(op.f("ix_training_jobs_account_id_id"), table_name="training_jobs")
    op.drop_table("training_jobs")
