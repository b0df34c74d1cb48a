"""Files of registered models, read whole or in ranges."""

from collections.abc import Iterator
from dataclasses import dataclass

from backend.domain.byte_ranges import ByteRange, parse_range
from backend.domain.errors import NotFound
from backend.services.models import get_model
from backend.storage.models import Model
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Opened:
    """A model, the range of its file that was asked for (None: all), and those bytes piece by piece."""

    model: Model
    part: ByteRange | None
    pieces: Iterator[bytes]


def open_file(
    uow: UnitOfWork, objects: ObjectStore, name: str, version: int, range_header: str | None, if_range: str | None
) -> Opened:
    """The file of a version, or the range that an HTTP client asks for, if it is still of the file that it knows.

    Raises NotFound for the model or its file, RangeUnsatisfiable.
    """
    model = get_model(uow, name, version)
    unchanged = if_range is None or if_range == f'"{model.ref.checksum}"'
    part = parse_range(range_header if unchanged else None, model.size_bytes)
    start, end = (part.start, part.end) if part else (0, None)
    try:
        return Opened(model, part, objects.chunks(model.ref.uri, start, end))
    except FileNotFoundError as error:
        raise NotFound("model file", name, accepted="`swarmex model register NAME FILE` puts it back") from error
