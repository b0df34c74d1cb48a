"""What all tables share: naming of constraints, column types, and the words a column may hold."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, LargeBinary, MetaData, Text, Uuid
from sqlalchemy.orm import DeclarativeBase, mapped_column

Key = Annotated[UUID, mapped_column(primary_key=True)]
Nano = Annotated[int, mapped_column(BigInteger)]


class Base(DeclarativeBase):
    """Root of the mappings; constraint names are fixed, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy reads this attribute as it stands
        str: Text(),
        bytes: LargeBinary(),
        datetime: DateTime(timezone=True),
        UUID: Uuid(),
    }


def one_of(column: str, words: type[StrEnum] | tuple[str, ...]) -> CheckConstraint:
    """A CHECK that a text column holds one of the words."""
    values = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({values})", name=column)
