"""Who may do what: accounts, API keys, remembered requests, and counters that gateways watch."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.domain.access import Role
from backend.domain.organisations import AccountType, MemberRole
from backend.storage.tables.base import Base, Key, one_of


class AccountRow(Base):
    """A customer or provider: a person, or an organisation with members."""

    __tablename__ = "accounts"
    __table_args__ = (one_of("type", AccountType),)

    id: Mapped[Key]
    name: Mapped[str] = mapped_column(unique=True)
    type: Mapped[str] = mapped_column(server_default=text("'person'"))
    created_at: Mapped[datetime]


class ApiKeyRow(Base):
    """An API key; only the SHA-256 of its secret is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (one_of("role", Role), Index(None, "account_id"))

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    member_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))  # who uses an organisation's key
    role: Mapped[str]
    label: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class MemberRow(Base):
    """A person in an organisation."""

    __tablename__ = "members"
    __table_args__ = (one_of("role", MemberRole), Index(None, "account_id"))

    organisation_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    role: Mapped[str]
    joined_at: Mapped[datetime]


class LogRow(Base):
    """Who did what, to what, with which particulars: written in the transaction that did it, and never changed."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "actor_id", "id"), Index(None, "subject", "id"))

    id: Mapped[Key]
    at: Mapped[datetime]
    actor_id: Mapped[UUID | None]  # None: the operator at the machine itself
    key_id: Mapped[UUID | None]
    action: Mapped[str]
    subject: Mapped[str]
    details: Mapped[dict[str, object]] = mapped_column(JSONB)


class IdempotencyRow(Base):
    """The first answer to a request that carried an idempotency key."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"),)

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_digest: Mapped[bytes]
    answer: Mapped[dict[str, object] | None] = mapped_column(JSONB)
    created_at: Mapped[datetime]


class ChangeRow(Base):
    """A counter per kind of fact that gateways cache, bumped in the transaction that changes such a fact."""

    __tablename__ = "changes"

    kind: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
