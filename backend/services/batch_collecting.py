"""Results of chunks whose orders have ended, as parts in the object store: one of outputs, one of errors.

A part is written before its chunk is marked, and holds the same however often it is written: whoever dies in between
is followed by another, who runs nothing again. Memory holds a page of outputs, never a whole chunk's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson

from backend.domain.batches import FINAL, BatchState
from backend.domain.ids import BatchId
from backend.domain.orders import CloseReason
from backend.storage import temporary
from backend.storage.batch_chunks import Ran, StoredChunk
from backend.storage.batches import Batch
from backend.storage.contention import patient
from backend.storage.objects import ObjectStore
from backend.storage.unit_of_work import UnitOfWork

Uow = Callable[[], UnitOfWork]

COLLECT_MAX = 6  # chunks in one turn
OUTPUTS, ERRORS = "outputs", "errors"
NOT_RUN: Mapping[BatchState, tuple[str, str]] = {
    BatchState.EXPIRED: ("batch_expired", "the batch expired before this request could be run"),
    BatchState.CANCELLED: ("batch_cancelled", "the batch was cancelled before this request was run"),
}


def part_key(batch_id: BatchId, number: int, kind: str) -> str:
    """Where a chunk's outputs or errors are until the batch ends."""
    return f"{parts_folder(batch_id)}{number}.{kind}"


def parts_folder(batch_id: BatchId) -> str:
    """Where all of a batch's parts are."""
    return f"batches/{batch_id}/"


def collect(uow: Uow, objects: ObjectStore, batch: Batch) -> int:
    """Collect up to COLLECT_MAX chunks that have ended; returns how many."""
    with uow() as reading:
        chunks = reading.batch_chunks.to_collect(batch.id, COLLECT_MAX)
    written = [(chunk, write_parts(uow, objects, batch, chunk)) for chunk in chunks]
    if written and not _mark(uow(), batch, written):
        objects.delete_folder(parts_folder(batch.id))  # another was faster, and has ended it
    return len(chunks)


@dataclass(frozen=True, slots=True)
class Written:
    """Lines of a chunk that gave outputs, those that did not, and the bytes of both parts."""

    completed: int
    failed: int
    size_bytes: int


@patient
def _mark(uow: UnitOfWork, batch: Batch, written: Sequence[tuple[StoredChunk, Written]]) -> bool:
    """Count what these chunks gave; False if the batch, which had counted them before, is over."""
    with uow:
        current = uow.batches.find(batch.id, for_update=True)
        if current is None or current.state in FINAL:
            return False
        uow.batch_chunks.mark_collected(
            batch.id, [(chunk.id, parts.completed, parts.failed, parts.size_bytes) for chunk, parts in written]
        )
        uow.commit()
    return True


def write_parts(uow: Uow, objects: ObjectStore, batch: Batch, chunk: StoredChunk) -> Written:
    """Write a chunk's parts, from what its order's items gave."""
    with temporary.folder() as folder:
        paths = {kind: folder / kind for kind in (OUTPUTS, ERRORS)}
        with paths[OUTPUTS].open("wb") as outputs, paths[ERRORS].open("wb") as errors:
            parts = _Parts(batch, chunk, outputs, errors)
            for ran in _items(uow, chunk):
                parts.add(ran)
            parts.add_missing()
        for kind, count in ((OUTPUTS, parts.completed), (ERRORS, parts.failed)):
            if count:
                objects.put_file(paths[kind], part_key(batch.id, chunk.number, kind), replace=True)
        size_bytes = sum(path.stat().st_size for path in paths.values())
    return Written(parts.completed, parts.failed, size_bytes)


def _items(uow: Uow, chunk: StoredChunk) -> Iterator[Ran]:
    if chunk.order_id is None:
        return
    after = -1
    while after < len(chunk.lines) - 1:
        with uow() as reading:
            page = reading.batch_chunks.ran_items(chunk.order_id, after)
        yield from page
        after = page[-1].seq if page else len(chunk.lines)


@dataclass
class _Parts:
    """Turns items into lines of the two files, in the form that OpenAI's clients read."""

    batch: Batch
    chunk: StoredChunk
    outputs: BinaryIO
    errors: BinaryIO
    completed: int = 0
    failed: int = 0
    _next: int = field(default=0)

    def __post_init__(self) -> None:
        self._prefix = f"batch_req_{self.batch.id.hex}_"

    def add(self, ran: Ran) -> None:
        """An item, in order; those between the last one and this are missing."""
        self._skip_to(ran.seq)
        if ran.outputs is not None and self._answered(ran.seq, ran.outputs):
            self.completed += 1
        elif ran.outputs is not None:
            self._fail(ran.seq, {"code": "invalid_answer", "message": "what the node answered cannot be read"})
        elif ran.state == "dead":
            told = {"code": CloseReason.ATTEMPTS_EXHAUSTED, "message": ran.error or "the request could not be run"}
            self._fail(ran.seq, told)
        else:
            self._fail(ran.seq, self._why_not())
        self._next = ran.seq + 1

    def add_missing(self) -> None:
        """Lines that have no item at all."""
        self._skip_to(len(self.chunk.lines))

    def _answered(self, seq: int, answer: bytes) -> bool:
        """Whether a node's answer can be written; anew, as it stands it might end its line, and be followed by
        another's.
        """
        model = {"model_name": self.chunk.model, "model_version": str(self.chunk.version)}
        try:
            body = {**model, "outputs": orjson.loads(answer)["outputs"]}
            self._write(self.outputs, seq, {"status_code": 200, "request_id": self._id(seq), "body": body}, None)
        except (ValueError, TypeError, KeyError):  # no JSON, no outputs, or nested deeper than JSON is written
            return False
        return True

    def _skip_to(self, seq: int) -> None:
        for missing in range(self._next, seq):
            self._fail(missing, self._why_not())

    def _why_not(self) -> Mapping[str, Any]:
        if self.chunk.error is not None:
            return {name: self.chunk.error.get(name) for name in ("code", "message", "param")}
        code, message = NOT_RUN.get(
            self.batch.ending or BatchState.COMPLETED, ("order_ended", "the order ended before this request was run")
        )
        return {"code": code, "message": message}

    def _fail(self, seq: int, error: Mapping[str, Any]) -> None:
        self._write(self.errors, seq, None, error)
        self.failed += 1

    def _write(self, file: BinaryIO, seq: int, response: object, error: object) -> None:
        _, custom_id, _ = self.chunk.lines[seq]
        line = {"id": self._id(seq), "custom_id": custom_id, "response": response, "error": error}
        file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def _id(self, seq: int) -> str:
        return f"{self._prefix}{self.chunk.lines[seq][0]}"
