"""Files of registered models, read whole or in ranges."""

from collections.abc import Iterator
from dataclasses import dataclass

from backend.domain.byte_ranges import ByteRange, parse_range
from backend.domain.errors import NotFound
from backend.domain.preconditions import Conditions
from backend.services.models import get_model
from backend.storage.models import Model
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Opened:
    """A model, the range of its file that was asked for (None: all), and those bytes piece by piece; no pieces where
    the client has them.
    """

    model: Model
    part: ByteRange | None
    pieces: Iterator[bytes] | None

    @property
    def tag(self) -> str:
        """The entity tag of the file."""
        return _tag(self.model)


def open_file(uow: UnitOfWork, objects: ObjectStore, name: str, version: int, conditions: Conditions) -> Opened:
    """The file of a version, or the range that an HTTP client asks for, if it is still of the file that it knows.

    Raises NotFound for the model or its file, PreconditionFailed, RangeUnsatisfiable.
    """
    model = get_model(uow, name, version)
    conditions.check_match(_tag(model))
    if conditions.knows(_tag(model)):
        return Opened(model, None, None)
    part = parse_range(conditions.range_of(_tag(model)), model.size_bytes)
    start, end = (part.start, part.end) if part else (0, None)
    try:
        return Opened(model, part, objects.chunks(model.ref.uri, start, end))
    except FileNotFoundError as error:
        raise NotFound("model file", name, accepted="`swarmex model register NAME FILE` puts it back") from error


def _tag(model: Model) -> str:
    return f'"{model.ref.checksum}"'
