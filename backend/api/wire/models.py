"""Registered models on the wire."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from backend.api.wire.base import Answer
from backend.storage.models import Model as StoredModel


class Model(Answer):
    """A model that workloads can ask for, with what it takes and gives."""

    id: UUID
    name: str
    version: int
    checksum: str
    size_bytes: int
    us_per_call: int
    us_per_row: int
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    created_at: datetime

    @classmethod
    def of(cls, model: StoredModel) -> Self:
        """The wire form of a model."""
        ref = model.ref
        return cls(
            id=ref.model_id,
            name=ref.name,
            version=ref.version,
            checksum=ref.checksum,
            size_bytes=model.size_bytes,
            us_per_call=model.profile.us_per_call,
            us_per_row=model.profile.us_per_row,
            created_at=model.created_at,
            **ref.signature.to_wire(),
        )
