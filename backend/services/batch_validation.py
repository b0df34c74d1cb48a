"""A new batch's file: read line by line, checked against models, cut into chunks, written in one transaction.

Nothing is charged or held for it. Who dies meanwhile has written nothing, and another begins anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.batch_outputs import expected_bytes
from backend.domain.batches import BatchState, ChunkState
from backend.domain.errors import Invalid, SwarmexError
from backend.domain.ids import ChunkId, ModelId
from backend.domain.tensors import parse_request, rows_of
from backend.domain.work import ModelRef
from backend.services.batch_lines import Cutter, Line, LineError, check_endpoint, parse_line, split_lines
from backend.services.batch_telling import owe
from backend.services.models import get_model
from backend.storage.batch_chunks import StoredChunk
from backend.storage.batches import Batch
from backend.storage.files import key_of
from backend.storage.ids import new_id
from backend.storage.models import Model
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork

Uow = Callable[[], UnitOfWork]
MODELS_ASKED_MAX = 1_000  # distinct names looked up for one file; a file that names more has as many errors


def validate(uow: Uow, now: datetime, objects: ObjectStore, batch: Batch) -> None:
    """Check a batch's file, and let the batch begin or fail."""
    cutter = Cutter()
    try:
        read(objects, batch, cutter, Known(uow))
    except FileNotFoundError:
        cutter.fail(None, Invalid("the input file is gone", code="input_gone", field="input_file_id"))
    _write(uow(), now, batch, cutter)


@dataclass
class Known:
    """Models that lines named, looked up once each; what was refused is refused again."""

    uow: Uow

    def __post_init__(self) -> None:
        self._seen: dict[tuple[str, int | None], Model | SwarmexError] = {}
        self._expected: dict[tuple[ModelId, int], int] = {}

    def model(self, line: Line) -> Model:
        """The model in the version that a line asks for; raises NotFound."""
        key = (line.target.model, line.target.version)
        if key not in self._seen:
            if len(self._seen) >= MODELS_ASKED_MAX:
                self._seen.clear()
            try:
                self._seen[key] = get_model(self.uow(), *key)
            except SwarmexError as error:
                self._seen[key] = error
        found = self._seen[key]
        if isinstance(found, SwarmexError):
            raise found
        return found

    def expected_bytes(self, ref: ModelRef, rows: int) -> int:
        """What the answer to a request of so many rows should fill."""
        key = (ref.model_id, rows)
        if key not in self._expected:
            if len(self._expected) >= MODELS_ASKED_MAX:
                self._expected.clear()
            self._expected[key] = expected_bytes(ref.signature, rows)
        return self._expected[key]


def read(objects: ObjectStore, batch: Batch, cutter: Cutter, known: Known) -> None:
    """Give every line to the cutter, or what is wrong with it; raises FileNotFoundError."""
    check_endpoint(batch.endpoint)
    for number, (offset, raw) in enumerate(split_lines(objects.chunks(key_of(batch.input_file_id))), 1):
        if raw is not None and not raw.strip():
            continue
        if not cutter.count(number):
            break
        try:
            if raw is None:
                raise Invalid("the line is too long", code="line_too_long", accepted="1 MiB of inputs in a line")
            line = parse_line(raw, batch.endpoint)
            cutter.name(line.custom_id)
            ref = known.model(line).ref
            rows = rows_of(parse_request(line.body, ref.signature), ref.signature)
            filled = known.expected_bytes(ref, rows)
            cutter.take(number, offset, len(raw), line.custom_id, rows, ref.name, ref.version, filled)
        except SwarmexError as error:
            cutter.fail(number, error)
        if cutter.full:
            break
    cutter.end()


def _write(uow: UnitOfWork, now: datetime, batch: Batch, cutter: Cutter) -> None:
    with uow:
        current = uow.batches.find(batch.id, for_update=True)
        if current is None or current.state is not BatchState.VALIDATING:
            return  # cancelled meanwhile, or checked by another
        if cutter.errors:
            failed = replace(current, state=BatchState.FAILED, errors=_documents(cutter.errors), ended_at=now)
            uow.batches.write(failed)
            owe(uow, now, failed)
        else:
            uow.batches.write(replace(current, state=BatchState.IN_PROGRESS, in_progress_at=now, total=cutter.total))
            uow.batch_chunks.add(
                [
                    StoredChunk(
                        ChunkId(new_id()),
                        batch.id,
                        number,
                        ChunkState.WAITING,
                        chunk.model,
                        chunk.version,
                        chunk.from_byte,
                        chunk.to_byte,
                        chunk.lines,
                        chunk.output_bytes,
                    )
                    for number, chunk in enumerate(cutter.chunks)
                ]
            )
        uow.commit()


def _documents(errors: Sequence[LineError]) -> list[dict[str, object]]:
    return [error.document() for error in errors]
