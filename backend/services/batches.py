"""Batches: created, looked at, listed, cancelled. What happens to them in between is `batch_run`'s.

Who holds what, when: creating a batch holds nothing. Each of its orders holds its own worst case on the account's
wallet from the moment it is placed, only a few at a time, and gives back at its end what its items did not use: so a
batch needs money for what runs, not for all of it, and what never ran was never charged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.domain.access import Principal, Role
from backend.domain.batches import (
    BATCHES_OPEN_MAX,
    FINAL,
    PREFIX,
    BatchState,
    check_metadata,
    parse_window,
    read_options,
)
from backend.domain.errors import Conflict, Invalid, NotFound, TooLarge
from backend.domain.events import Event, Topic
from backend.domain.files import FilePurpose, file_name, parse_file_name, parse_name
from backend.domain.idempotency import Idempotency
from backend.domain.ids import AccountId, BatchId, FileId
from backend.services.batch_lines import check_endpoint
from backend.services.idempotency import once
from backend.services.log import record
from backend.services.managing import check_still_belongs
from backend.storage.batches import Batch
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 100


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch, and what it was charged so far in nano-credits."""

    batch: Batch
    charged_nano: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the batches asked for, and whether there are more behind them."""

    batches: list[BatchView]
    more: bool


@dataclass(frozen=True, slots=True)
class BatchWish:
    """A batch as its user states it."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: object = None


def batch_name(batch_id: BatchId) -> str:
    """The id as clients know it."""
    return f"{PREFIX}{batch_id.hex}"


def parse_batch_name(name: str) -> BatchId:
    """The inverse; raises NotFound."""
    return BatchId(parse_name(name, PREFIX, "batch"))


def create_batch(
    uow: UnitOfWork, now: datetime, principal: Principal, wish: BatchWish, idempotency: Idempotency | None = None
) -> BatchView:
    """Take a batch in, to be checked and run; raises Invalid, NotFound for its file, TooLarge for one too many."""
    check_endpoint(wish.endpoint)
    window_s = parse_window(wish.completion_window)
    metadata = check_metadata(wish.metadata)
    options, webhook = read_options(metadata)
    file_id = parse_file_name(wish.input_file_id, "input_file_id")

    def do() -> BatchView:
        check_still_belongs(uow, principal)
        _check_input(uow, now, principal, file_id)
        batch = Batch(
            id=BatchId(new_id()),
            account_id=principal.account_id,
            member_id=principal.member_id,
            endpoint=wish.endpoint,
            input_file_id=file_id,
            completion_window=wish.completion_window,
            metadata=metadata,
            options=options,
            webhook=webhook,
            state=BatchState.VALIDATING,
            created_at=now,
            expires_at=now + timedelta(seconds=window_s),
            claimed_until=now,
        )
        uow.batches.add(batch)
        uow.emit(Event(Topic.BATCHES_CHANGED, str(batch.id)))
        return BatchView(batch, 0)

    with uow:
        made = once(uow, principal.account_id, idempotency, now, BatchView, do)
        uow.commit()
    return made


def _check_input(uow: UnitOfWork, now: datetime, principal: Principal, file_id: FileId) -> None:
    uow.files.lock_account(principal.account_id)
    file = uow.files.find(file_id, now)
    if file is None or file.account_id != principal.account_id:
        raise NotFound("file", file_name(file_id), field="input_file_id")
    if file.purpose is not FilePurpose.BATCH:
        raise Invalid(
            f"{file_name(file_id)} holds outputs",
            code="invalid_purpose",
            field="input_file_id",
            accepted=f"a file of purpose {FilePurpose.BATCH}",
        )
    if uow.batches.open_of(principal.account_id) >= BATCHES_OPEN_MAX:
        raise TooLarge(
            "too many batches are under way",
            code="too_many_batches",
            field="input_file_id",
            accepted=f"at most {BATCHES_OPEN_MAX} at once",
        )


def show_batch(uow: UnitOfWork, name: str, principal: Principal) -> BatchView:
    """A batch of the caller (admins: of anybody); raises NotFound."""
    with uow:
        return _views(uow, [_owned(uow, name, principal)])[0]


def list_batches(uow: UnitOfWork, account: AccountId | None, limit: int = 20, after: str | None = None) -> Page:
    """Batches of an account, or of everybody, the newest first; `after` continues a list behind a batch."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    behind = None if after is None else parse_batch_name(after)
    with uow:
        found = uow.batches.page(account, limit + 1, behind)
        return Page(_views(uow, found[:limit]), len(found) > limit)


def cancel_batch(uow: UnitOfWork, now: datetime, name: str, principal: Principal) -> BatchView:
    """Let a batch end: nothing more is placed, what no executor has been sent is cancelled, what is in flight ends.

    Only what ran is charged. Cancelling twice is once. Raises NotFound, or Conflict(`batch_ended`).
    """
    with uow:
        batch = _owned(uow, name, principal, for_update=True)
        if batch.state not in (BatchState.CANCELLING, BatchState.CANCELLED):
            if batch.state in (*FINAL, BatchState.FINALIZING):
                raise Conflict(
                    f"batch {name} is {batch.state}", code="batch_ended", field="batch_id", accepted="an open batch"
                )
            batch = _cancelling(uow, now, batch)
            if principal.role is Role.ADMIN:
                record(uow, now, principal, "batch.cancel", f"batch {batch.id}", account=str(batch.account_id))
        [view] = _views(uow, [batch])
        uow.commit()
    return view


def cancel_batches_of(uow: UnitOfWork, now: datetime, account: AccountId, member: AccountId) -> int:
    """Let what a member of an organisation has under way end, in the caller's transaction; returns how many did."""
    open_ = uow.batches.open_of_member(account, member)
    ending = [batch for batch in open_ if batch.state in (BatchState.VALIDATING, BatchState.IN_PROGRESS)]
    for batch in ending:
        _cancelling(uow, now, batch)
    return len(ending)


def _cancelling(uow: UnitOfWork, now: datetime, batch: Batch) -> Batch:
    ending = replace(
        batch, state=BatchState.CANCELLING, ending=BatchState.CANCELLED, cancelling_at=now, claimed_until=now
    )
    uow.batches.write(ending)
    uow.emit(Event(Topic.BATCHES_CHANGED, str(batch.id)))
    return ending


def _views(uow: UnitOfWork, batches: Sequence[Batch]) -> list[BatchView]:
    charged: Mapping[BatchId, int] = uow.batches.charged_of([batch.id for batch in batches])
    return [BatchView(batch, charged.get(batch.id, 0)) for batch in batches]


def _owned(uow: UnitOfWork, name: str, principal: Principal, *, for_update: bool = False) -> Batch:
    batch = uow.batches.find(parse_batch_name(name), for_update=for_update)
    if batch is None or (principal.role is not Role.ADMIN and batch.account_id != principal.account_id):
        raise NotFound("batch", name, field="batch_id")
    return batch
