"""Registered models: versions by name, aliases that stand for them, and whose a name is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, insert, text, update

from backend.domain.ids import AccountId, ModelId
from backend.domain.registry import Format, ModelFilter, Stage, split_reference
from backend.domain.tensors import Signature
from backend.domain.work import ModelRef, Profile
from backend.storage.tables import ModelRow

_SELECT = """
    SELECT m.id, m.name, m.version, m.checksum, m.uri, m.signature, m.size_bytes, m.us_per_call, m.us_per_row,
           m.created_at, m.format, m.stage, m.description, m.tags, m.deleted_at, n.owner_id,
           coalesce(n.revision, 0) AS revision,
           ARRAY(SELECT a.alias FROM model_aliases a WHERE a.name = m.name AND a.version = m.version ORDER BY a.alias)
               AS aliases
    FROM models m LEFT JOIN model_names n ON n.name = m.name
"""
_OPEN_ORDERS = """
    (SELECT count(*) FROM orders o WHERE o.state = 'open' AND o.model_id = {model})
    + (SELECT count(*) FROM orders o WHERE o.state IN ('running', 'closing') AND o.model_id = {model})
"""
_FILTER = """
    WHERE (CAST(:prefix AS text) IS NULL OR starts_with(m.name, :prefix))
      AND (CAST(:stage AS text) IS NULL OR m.stage = :stage) AND (CAST(:format AS text) IS NULL OR m.format = :format)
      AND (CAST(:datatype AS jsonb) IS NULL OR m.signature -> 'inputs' @> :datatype)
      AND (CAST(:tag_key AS text) IS NULL OR jsonb_exists(m.tags, :tag_key))
      AND (CAST(:tag_value AS text) IS NULL OR m.tags ->> :tag_key = :tag_value)
      AND (CAST(:words AS text) IS NULL
           OR strpos(lower(m.name || ' ' || m.description || ' ' || CAST(m.tags AS text)), lower(:words)) > 0)
      AND m.format <> 'trainer' AND (:deleted OR m.deleted_at IS NULL)
      AND (CAST(:before AS uuid) IS NULL OR m.id < :before)
    ORDER BY m.id DESC LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class Model:
    """A model file, what it takes and gives, its measured time, and what people have said of it.

    `revision` counts the changes to its name; it is that of the moment in which the rest was read.
    """

    ref: ModelRef
    size_bytes: int
    profile: Profile
    created_at: datetime
    format: Format = Format.ONNX
    stage: Stage = Stage.NONE
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    deleted_at: datetime | None = None
    owner_id: AccountId | None = None
    revision: int = 0
    aliases: tuple[str, ...] = ()


class ModelRepository:
    """Models by name and version."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock_name(self, name: str) -> None:
        """Make changes to one name take turns until the transaction ends."""
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
                format=model.format,
                description=model.description,
                tags=dict(model.tags),
            )
        )

    def touch(self, name: str, owner_id: AccountId | None) -> int:
        """Count a change to a name, which is recorded as `owner_id`'s if it is new; returns its revision from now on.

        The counter's row stays locked until the transaction ends.
        """
        return int(
            self._connection.execute(
                text(
                    "INSERT INTO model_names (name, owner_id, revision) VALUES (:name, :owner, 1)"
                    " ON CONFLICT (name) DO UPDATE SET revision = model_names.revision + 1 RETURNING revision"
                ),
                {"name": name, "owner": owner_id},
            ).scalar_one()
        )

    def all(self) -> list[Model]:
        """All models, by name and version; also those that are deleted, which old orders may refer to."""
        return self._found("WHERE m.format <> 'trainer' ORDER BY m.name, m.version")

    def trainers(self) -> list[Model]:
        """What training jobs can name, by name: rows that are no models."""
        return self._found("WHERE m.format = 'trainer' ORDER BY m.name")

    def runnable(self) -> list[Model]:
        """What nodes may be asked to run, by name and version: a deleted model only while orders of it are open."""
        return self._found(
            f"WHERE m.format <> 'trainer' AND (m.deleted_at IS NULL OR {_OPEN_ORDERS.format(model='m.id')} > 0)"
            f" ORDER BY m.name, m.version"
        )

    def versions(self, references: Collection[str], *, deleted: bool = False) -> dict[str, dict[int, Model]]:
        """Every version of the models or trainers named (`name` or `name@alias`), by their plain names.

        Those that are deleted only if that is said.
        """
        names = sorted({split_reference(reference)[0] for reference in references})
        found: dict[str, dict[int, Model]] = {}
        for model in self._found(
            "WHERE m.name = ANY(:names) AND (:deleted OR m.deleted_at IS NULL)", names=names, deleted=deleted
        ):
            found.setdefault(model.ref.name, {})[model.ref.version] = model
        return found

    def by_id(self, model_id: ModelId) -> Model:
        """The model that an order refers to."""
        [found] = self._found("WHERE m.id = :id", id=model_id)
        return found

    def find(self, model_id: ModelId) -> Model | None:
        """The model with this id, also when it is deleted."""
        found = self._found("WHERE m.id = :id", id=model_id)
        return found[0] if found else None

    def newest(self, wanted: ModelFilter, limit: int, before: ModelId | None) -> list[Model]:
        """The newest versions that fit the filter, older than `before`."""
        key, sign, value = (wanted.tag or "").partition("=")
        return self._found(
            _FILTER,
            prefix=wanted.prefix,
            stage=wanted.stage,
            format=wanted.format,
            datatype=wanted.datatype and orjson.dumps([{"datatype": wanted.datatype}]).decode(),
            tag_key=key or None,
            tag_value=value if sign else None,
            words=wanted.text,
            deleted=wanted.deleted,
            before=before,
            limit=limit,
        )

    def write(self, model_id: ModelId, **values: object) -> None:
        """Set columns of a version: its stage, description, tags, or when it was deleted."""
        self._connection.execute(update(ModelRow).where(ModelRow.id == model_id).values(**values))

    def point(self, name: str, alias: str, version: int) -> None:
        """Let an alias stand for a version from now on."""
        self._connection.execute(
            text(
                "INSERT INTO model_aliases (name, alias, version) VALUES (:name, :alias, :version)"
                " ON CONFLICT (name, alias) DO UPDATE SET version = :version"
            ),
            {"name": name, "alias": alias, "version": version},
        )

    def forget_alias(self, name: str, alias: str) -> None:
        """Let an alias stand for nothing."""
        self._connection.execute(
            text("DELETE FROM model_aliases WHERE name = :name AND alias = :alias"), {"name": name, "alias": alias}
        )

    def open_orders(self, model_id: ModelId) -> int:
        """How many orders of a version are not at their end; leases are part of them. New ones wait until then."""
        self._connection.execute(text("SELECT 1 FROM models WHERE id = :id FOR UPDATE"), {"id": model_id})
        statement = f"SELECT {_OPEN_ORDERS.format(model=':id')}"
        return int(self._connection.execute(text(statement), {"id": model_id}).scalar_one())

    def _found(self, rest: str, **binds: object) -> list[Model]:
        return [_model(row) for row in self._connection.execute(text(_SELECT + rest), binds)]


def _model(row: Row[Any]) -> Model:
    ref = ModelRef(ModelId(row.id), row.name, row.version, row.checksum, row.uri, Signature.from_wire(row.signature))
    return Model(
        ref,
        row.size_bytes,
        Profile(row.us_per_call, row.us_per_row),
        row.created_at,
        Format(row.format),
        Stage(row.stage),
        row.description,
        row.tags,
        row.deleted_at,
        row.owner_id,
        row.revision,
        tuple(row.aliases),
    )
