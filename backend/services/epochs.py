"""Epochs: each clearing is logged with the digest of its book, and can be computed again by anybody who may see it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import orjson

from backend.domain.access import Principal, Role
from backend.domain.auctions import RULES, Book, Clearing, Fill, clear
from backend.domain.errors import Invalid, NotFound
from backend.domain.ids import EpochId
from backend.domain.pricing import Market
from backend.storage.epochs import Epoch
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

BOOKS_KEPT = timedelta(days=30)
FORGET_MAX = 1_000
REPLAY_MAX = 10_000
LIST_MAX = 500

Tell = Callable[[int, int], None]


class Verdict(StrEnum):
    """What a replay found; only `equal` proves anything."""

    EQUAL = "equal"
    DIFFERENT = "different"
    OTHER_BOOK = "other_book"  # what is kept is not what was published
    OTHER_RULES = "other_rules"
    NOT_KEPT = "not_kept"


@dataclass(frozen=True, slots=True)
class Replay:
    """An epoch computed again beside what was decided then."""

    epoch: Epoch
    verdict: Verdict
    decided: int
    computed: int


def clear_book(book: Book, mechanism: str) -> tuple[EpochId, Clearing]:
    """Clear a book by a mechanism, as the epoch of a new id."""
    epoch_id = EpochId(new_id())
    return epoch_id, clear(book, mechanism, epoch_id.int)


def log_clearing(
    uow: UnitOfWork, now: datetime, market: Market, mechanism: str, epoch_id: EpochId, clearing: Clearing
) -> None:
    """Log a clearing, in the caller's unit of work.

    One that saw what the last one saw and did nothing, as that one, is counted there.
    """
    book = clearing.book
    digest = book.digest()
    if not clearing.fills and uow.epochs.repeat(market, digest, now):
        return
    uow.epochs.add(
        Epoch(
            epoch_id,
            market,
            mechanism,
            RULES,
            digest,
            fills_digest(clearing.fills),
            clearing.price_nano,
            len(book.bids),
            len(book.asks),
            0,
            now,
        ),
        book.dump(),
    )


def replay(uow: UnitOfWork, principal: Principal, epoch_id: EpochId) -> Replay:
    """Compute an epoch again from its kept book and compare it with its digests and its trades; admins only."""
    principal.require(Role.ADMIN)
    with uow:
        epoch = uow.epochs.find(epoch_id)
        if epoch is None:
            raise NotFound("epoch", epoch_id)
        return _replay(uow, epoch)


def replay_last(uow: UnitOfWork, principal: Principal, last: int, tell: Tell = lambda _, __: None) -> list[Replay]:
    """The same for the newest epochs, newest first, telling how many are done of how many; raises Invalid."""
    principal.require(Role.ADMIN)
    if not 1 <= last <= REPLAY_MAX:
        raise Invalid(f"{last} epochs", code="invalid_last", field="last", accepted=f"1 to {REPLAY_MAX}")
    with uow:
        found = uow.epochs.newest(last)
        replays = []
        for epoch in found:
            replays.append(_replay(uow, epoch))
            tell(len(replays), len(found))
        return replays


def list_epochs(uow: UnitOfWork, limit: int = 100) -> list[Epoch]:
    """The newest clearings of all markets; raises Invalid for a limit out of range."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    with uow:
        return uow.epochs.newest(limit)


def forget_books(uow: UnitOfWork, now: datetime) -> int:
    """Drop the books of epochs older than BOOKS_KEPT, a bounded number at a time; returns how many."""
    with uow:
        forgotten = uow.epochs.forget_books(now - BOOKS_KEPT, FORGET_MAX)
        uow.commit()
    return forgotten


def fills_digest(fills: Sequence[Fill]) -> bytes:
    """SHA-256 of what a clearing decided, in the order of order and offer ids: JSON with a space after each comma."""
    rows = [(f.order_id, f.offer_id, f.node_id, f.slots, f.pays_nano, f.earns_nano) for f in fills]
    return hashlib.sha256(orjson.dumps(rows).replace(b",", b", ")).digest()


def _replay(uow: UnitOfWork, epoch: Epoch) -> Replay:
    decided = uow.epochs.fills(epoch.id)
    dumped = uow.epochs.book(epoch.id)
    if dumped is None:
        return Replay(epoch, Verdict.NOT_KEPT, len(decided), 0)
    if epoch.rules != RULES:
        return Replay(epoch, Verdict.OTHER_RULES, len(decided), 0)
    try:
        book = Book.load(dumped)
    except Invalid:  # damaged: one such book must not hide what all the others say
        return Replay(epoch, Verdict.OTHER_BOOK, len(decided), 0)
    if book.digest() != epoch.book_digest:
        return Replay(epoch, Verdict.OTHER_BOOK, len(decided), 0)
    clearing = clear(book, epoch.mechanism, epoch.id.int)
    equal = (
        list(clearing.fills) == decided
        and fills_digest(decided) == epoch.trades_digest
        and clearing.price_nano == epoch.price_nano
    )
    return Replay(epoch, Verdict.EQUAL if equal else Verdict.DIFFERENT, len(decided), len(clearing.fills))
