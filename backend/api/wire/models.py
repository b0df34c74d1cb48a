"""Registered models on the wire."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Answer, Text, Wire
from backend.domain.registry import DESCRIPTION_CHARS_MAX, TAGS_MAX, Format, Stage
from backend.domain.uploads import Upload as DomainUpload
from backend.storage.models import Model as StoredModel

STAGES = [stage.value for stage in Stage]


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
    format: Annotated[str, Field(json_schema_extra={"enum": [kind.value for kind in Format]})]
    stage: Annotated[str, Field(json_schema_extra={"enum": STAGES})]
    aliases: list[str] = Field(description="Words that stand for this version: `name@alias` wherever a name is asked.")
    tags: dict[str, str]
    description: str
    deleted_at: datetime | None = Field(description="Since when it is offered to no new work.")

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
            format=model.format,
            stage=model.stage,
            aliases=list(model.aliases),
            tags=dict(model.tags),
            description=model.description,
            deleted_at=model.deleted_at,
            **ref.signature.to_wire(),
        )


class ModelList(Answer):
    """Versions, the newest first; `next_before` asks for the next page."""

    models: list[Model]
    next_before: UUID | None


class ModelChange(Wire):
    """What is said of a version; a tag that is null is taken away."""

    description: Annotated[str, Field(max_length=DESCRIPTION_CHARS_MAX)] | None = None
    tags: Annotated[dict[str, str | None], Field(max_length=TAGS_MAX)] | None = Field(
        default=None, examples=[{"team": "vision", "old": None}]
    )


class Alias(Wire):
    """Which version an alias stands for."""

    version: int = Field(ge=1, lt=2**31)


class StageMove(Wire):
    """Where a version goes."""

    stage: Annotated[Text, Field(json_schema_extra={"enum": STAGES})]
    archive_current: bool = Field(default=False, description="Archive the version that is in production now.")


class NewUpload(Wire):
    """A file that is to come in chunks."""

    name: Text = Field(examples=["digits"])
    size_bytes: int = Field(ge=-(2**63), lt=2**63)
    sha256: Text


class Upload(Answer):
    """How far an upload is; the next chunk begins at `offset`."""

    id: UUID
    name: str
    size_bytes: int
    sha256: str
    offset: int
    created_at: datetime
    expires_at: datetime = Field(description="If no chunk comes until then.")

    @classmethod
    def of(cls, upload: DomainUpload) -> Self:
        """The wire form of an upload."""
        return cls(
            id=upload.id,
            name=upload.name,
            size_bytes=upload.size_bytes,
            sha256=upload.sha256,
            offset=upload.received_bytes,
            created_at=upload.created_at,
            expires_at=upload.expires_at,
        )
