"""Room for a batch's results: promised to a chunk when it is placed, and filled or given back when it is collected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.domain.batch_outputs import OutputRoom
from backend.domain.errors import TooLarge
from backend.domain.ids import ChunkId
from backend.storage.batch_chunks import StoredChunk
from backend.storage.batches import Batch
from backend.storage.unit_of_work import UnitOfWork


def room_of(uow: UnitOfWork, batch: Batch) -> OutputRoom:
    """What may still be written for a batch, in two statements. To promise some of it, lock the account's files first:
    then no two batches are promised the same.
    """
    filled = uow.batch_chunks.filled(batch.id)
    account = uow.files.kept(batch.account_id)
    return OutputRoom(
        kept=filled.kept_bytes,
        open=filled.open_bytes,
        account_kept=account.size_bytes - account.open_bytes,
        account_open=account.open_bytes,
        lines_left=batch.total - batch.completed - batch.failed,
        seen=filled.seen,
    )


@dataclass(frozen=True, slots=True)
class Promises:
    """What some chunks were promised, why the others do not fit, and what is left then."""

    promised: Mapping[ChunkId, int]
    full: Mapping[ChunkId, TooLarge]
    left: OutputRoom


def promise(room: OutputRoom, chunks: Sequence[StoredChunk]) -> Promises:
    """Promise room to the chunks that fit; the first come first."""
    promised: dict[ChunkId, int] = {}
    full: dict[ChunkId, TooLarge] = {}
    for chunk in chunks:
        more = room.expected((chunk.model, chunk.version), len(chunk.lines), chunk.output_bytes)
        if refusal := room.refusal(more):
            full[chunk.id] = refusal
        else:
            room = room.after(more)
            promised[chunk.id] = more
    return Promises(promised, full, room)
