"""Registered models."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text

from backend.domain.ids import ModelId
from backend.domain.tensors import Signature
from backend.domain.work import ModelRef, Profile
from backend.storage.tables import ModelRow


@dataclass(frozen=True, slots=True)
class Model:
    """A model file, what it takes and gives, and its measured time."""

    ref: ModelRef
    size_bytes: int
    profile: Profile
    created_at: datetime


class ModelRepository:
    """Models by name and version."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock_name(self, name: str) -> None:
        """Make registrations of one name take turns until the transaction ends."""
        self._connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"model {name}"}
        )

    def add(self, model: Model) -> None:
        """Record a new version."""
        ref = model.ref
        self._connection.execute(
            insert(ModelRow).values(
                id=ref.model_id,
                name=ref.name,
                version=ref.version,
                checksum=ref.checksum,
                size_bytes=model.size_bytes,
                uri=ref.uri,
                signature=ref.signature.to_wire(),
                us_per_call=model.profile.us_per_call,
                us_per_row=model.profile.us_per_row,
                created_at=model.created_at,
            )
        )

    def all(self) -> list[Model]:
        """All models, by name and version."""
        rows = self._connection.execute(select(ModelRow.__table__).order_by(ModelRow.name, ModelRow.version))
        return [_model(row) for row in rows]

    def versions(self, names: Collection[str]) -> dict[str, dict[int, Model]]:
        """Every version of the models named."""
        rows = self._connection.execute(select(ModelRow.__table__).where(ModelRow.name.in_(names)))
        found: dict[str, dict[int, Model]] = {}
        for row in rows:
            found.setdefault(row.name, {})[row.version] = _model(row)
        return found

    def by_id(self, model_id: ModelId) -> Model:
        """The model that an order refers to."""
        return _model(self._connection.execute(select(ModelRow.__table__).where(ModelRow.id == model_id)).one())


def _model(row: Row[Any]) -> Model:
    ref = ModelRef(ModelId(row.id), row.name, row.version, row.checksum, row.uri, Signature.from_wire(row.signature))
    return Model(ref, row.size_bytes, Profile(row.us_per_call, row.us_per_row), row.created_at)
