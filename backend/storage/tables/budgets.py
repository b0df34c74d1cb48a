"""Budgets, what is used of them, and the alerts that their thresholds gave."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.alerts import AlertKind
from backend.domain.budgets import BudgetMode, BudgetPeriod
from backend.domain.tiers import TierName
from backend.storage.tables.base import Base, Key, Nano, one_of


class BudgetRow(Base):
    """A limit on what an account may set aside; without an account, a limit on each account by itself."""

    __tablename__ = "budgets"
    __table_args__ = (
        one_of("period", BudgetPeriod),
        one_of("mode", BudgetMode),
        one_of("tier", TierName),
        CheckConstraint("limit_nano >= 0", name="limit_not_negative"),
        CheckConstraint("member_id IS NULL OR account_id IS NOT NULL", name="members_belong_to_an_account"),
        Index(
            "uq_budgets_open",
            "account_id",
            "member_id",
            "period",
            "tier",
            "mode",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    member_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))
    period: Mapped[str]
    tier: Mapped[str | None]
    limit_nano: Mapped[Nano]
    mode: Mapped[str]
    timezone: Mapped[str]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class BudgetUseRow(Base):
    """What an account has used of a budget in one period: set aside less given back; guarded by its wallet's lock."""

    __tablename__ = "budget_uses"
    __table_args__ = (CheckConstraint("used_nano >= 0", name="used_not_negative"),)

    budget_id: Mapped[UUID] = mapped_column(ForeignKey("budgets.id"), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    since: Mapped[datetime] = mapped_column(primary_key=True)
    used_nano: Mapped[Nano]


class BaselineRow(Base):
    """What a wallet had after money last came in: 100% of it is what its alerts speak of."""

    __tablename__ = "wallet_baselines"
    __table_args__ = (CheckConstraint("baseline_nano >= 0", name="baseline_not_negative"),)

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    baseline_nano: Mapped[Nano]
    since: Mapped[datetime]


class AlertRow(Base):
    """A threshold gone over: once per subject, account, period and percentage."""

    __tablename__ = "alerts"
    __table_args__ = (
        one_of("kind", AlertKind),
        UniqueConstraint("kind", "subject_id", "account_id", "since", "percent", name="uq_alerts_once"),
        Index(None, "account_id", "id"),
    )

    id: Mapped[Key]
    kind: Mapped[str]
    subject_id: Mapped[UUID]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    since: Mapped[datetime]
    percent: Mapped[int]
    limit_nano: Mapped[Nano]
    used_nano: Mapped[Nano]
    created_at: Mapped[datetime]
