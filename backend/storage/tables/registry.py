"""The registry around model versions: whose a name is, aliases, and files on their way in."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.storage.tables.base import Base, Key


class ModelNameRow(Base):
    """A name: whose it is, and a counter of all that was changed of its versions and aliases."""

    __tablename__ = "model_names"

    name: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id"))  # none: the operator's
    revision: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class ModelAliasRow(Base):
    """A word that stands for a version until it is moved."""

    __tablename__ = "model_aliases"
    __table_args__ = (ForeignKeyConstraint(["name", "version"], ["models.name", "models.version"]),)

    name: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]


class ModelUploadRow(Base):
    """A file that comes in chunks; gone when it is registered, given up or expired."""

    __tablename__ = "model_uploads"
    __table_args__ = (
        CheckConstraint("received_bytes BETWEEN 0 AND size_bytes", name="received_within_size"),
        Index(None, "account_id", "name", "sha256", unique=True),
        Index(None, "expires_at"),
    )

    id: Mapped[Key]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    received_bytes: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    chunks: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    completing_until: Mapped[datetime | None]


class ModelChunkRow(Base):
    """A part of a file that is in the store."""

    __tablename__ = "model_chunks"

    upload_id: Mapped[UUID] = mapped_column(ForeignKey("model_uploads.id", ondelete="CASCADE"), primary_key=True)
    start_byte: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    size_bytes: Mapped[int]
    sha256: Mapped[str]
