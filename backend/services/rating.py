"""Rating anew: usage whose price changed afterwards is corrected by reversals and new charges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.corrections import PayeeShort, check_reason
from backend.domain.errors import InsufficientFunds, NotFound, SwarmexError
from backend.domain.ids import TransferId, UsageId
from backend.domain.ledger import CREDITS_ID, FEES_ID, Books, Posted, Reverse, Transfer, mirror
from backend.domain.metering import PRICES_FROM, Meter, Usage, UsageState, corrections, price_at, rated, spans
from backend.services import log
from backend.services.corrections import attempt, fund_reference, new_transfer_id, pay_from_fund
from backend.services.usage_charges import FIRST
from backend.storage.contention import busy, patient
from backend.storage.ledger import LockedAccounts
from backend.storage.metering import Outdated
from backend.storage.unit_of_work import UnitOfWork

RERATE_MAX = 500  # of one transaction
RERATE_BATCHES_MAX = 100  # of one call: 50,000 events in a few seconds
LEFT_SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class Left:
    """Usage that stays at the price that it had, and the code why."""

    usage_id: UsageId
    code: str


@dataclass(frozen=True, slots=True)
class Rerated:
    """How much usage got another price or was left, with the first LEFT_SHOWN_MAX of those.

    `continue_from` is the time to go on from when there was more than one call may do.
    """

    corrected: int
    left_count: int
    left: tuple[Left, ...]
    continue_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    corrected: int
    left: list[Left]
    last: Outdated | None  # None: there is no more


def rerate(uow: UnitOfWork, now: datetime, principal: Principal, meter: str, since: datetime | None = None) -> Rerated:
    """Rate usage of a meter anew that another version of its price is valid for; a second time changes nothing.

    Batches of RERATE_MAX, each all or nothing. What was charged is reversed and charged anew, what is unpaid gets its
    new amount, and what was free and no longer is waits for `collect_unpaid`. Where the payee has not got left what
    was paid, or the payer not what it costs now, an event is left as it was and reported.
    """
    principal.require(Role.ADMIN)
    corrected, left = 0, list[Left]()
    at, after = since or PRICES_FROM, FIRST
    for _ in range(RERATE_BATCHES_MAX):
        batch = _rerate(uow, now, principal, meter, at, after)
        corrected += batch.corrected
        left += batch.left
        if batch.last is None:
            return Rerated(corrected, len(left), tuple(left[:LEFT_SHOWN_MAX]))
        at, after = batch.last.occurred_at, batch.last.id
    return Rerated(corrected, len(left), tuple(left[:LEFT_SHOWN_MAX]), at)


def rerate_all(uow: UnitOfWork, now: datetime, principal: Principal, meter: str, done: Rerated) -> Rerated:
    """What `rerate` has done, and all that it had left for further calls; for those who may wait."""
    before = None
    while done.continue_from and done.continue_from != before:  # it stands still where all of a moment is left
        before = done.continue_from
        more = rerate(uow, now, principal, meter, before)
        done = Rerated(
            done.corrected + more.corrected,
            done.left_count + more.left_count,
            (*done.left, *more.left)[:LEFT_SHOWN_MAX],
            more.continue_from,
        )
    return done


@patient
def _rerate(uow: UnitOfWork, now: datetime, principal: Principal, name: str, at: datetime, after: UsageId) -> _Batch:
    with uow:
        meter = uow.metering.meters_named([name]).get(name)
        if meter is None:
            raise NotFound("meter", name, accepted="the name of a meter")
        valid = spans(uow.metering.prices([name])[name])
        page = uow.metering.outdated(name, valid, at, after, RERATE_MAX)
        if not page:
            return _Batch(0, [], None)
        locked, posted, found = _lock(uow, meter, page)
        valid = spans(uow.metering.prices([name], for_share=True)[name])  # one may have been set while we waited
        books = Books(locked.balances, posted=posted)
        done: list[Usage] = []
        left: list[Left] = []
        for usage in found:
            price = price_at(valid, usage.occurred_at)
            if usage.state is UsageState.VOID or usage.price_version == price.version:
                continue  # somebody was faster
            try:
                done.append(_corrected(usage, rated(usage, price), books, posted))
            except InsufficientFunds as error:
                payer = locked.wallets[usage.account_id]
                left.append(Left(usage.id, error.code if error.account == payer else PayeeShort.code))
            except SwarmexError as error:
                left.append(Left(usage.id, error.code))
        uow.ledger.write(books.applied([]), now)
        uow.metering.write(done)
        if done:
            log.record(uow, now, principal, "usage.rerate", f"meter {name}", corrected=len(done), left=len(left))
        uow.commit()
    return _Batch(len(done), left, page[-1] if len(page) == RERATE_MAX else None)


@patient
def take_back(
    uow: UnitOfWork, now: datetime, principal: Principal, usage_id: UsageId, reason: str, from_fund: bool = False
) -> Usage:
    """Void usage that was reported by mistake: what was charged is given back, and it is never rated again.

    Twice is once. Raises Forbidden, NotFound, or PayeeShort if the payee has not got it any more; with `from_fund`,
    the credits fund then pays instead, or raises FundShort.
    """
    principal.require(Role.ADMIN)
    check_reason(reason)
    with uow:
        before = uow.metering.find(usage_id)
        if before is None:
            raise NotFound("usage", usage_id)
        meter = uow.metering.meters_named([before.meter])[before.meter]
        locked, posted, [usage] = _lock(uow, meter, [before], from_fund)
        if usage.state is UsageState.VOID:
            return usage
        books = Books(locked.balances, posted=posted)
        if usage.state is UsageState.CHARGED and usage.transfer_id and not posted[usage.transfer_id].reversed:
            _give_back(books, posted[usage.transfer_id].transfer, from_fund)
        uow.ledger.write(books.applied([]), now)
        void = replace(usage, state=UsageState.VOID)
        uow.metering.write([void])
        facts = {"reason": reason, "amount_nano": usage.amount_nano, "from_fund": from_fund}
        log.record(uow, now, principal, "usage.void", f"usage {usage_id}", **facts)
        uow.commit()
    return void


def _give_back(books: Books, charge: Transfer, from_fund: bool) -> None:
    try:
        books.do(Reverse(mirror(charge, new_transfer_id())))
    except InsufficientFunds as error:
        if not from_fund:
            raise PayeeShort(error) from None
        pay_from_fund(books, charge, charge.amount_nano, fund_reference(charge))


def _lock(
    uow: UnitOfWork, meter: Meter, usages: Sequence[Usage | Outdated], from_fund: bool = False
) -> tuple[LockedAccounts, dict[TransferId, Posted], list[Usage]]:
    """The money and the usage that a correction touches: transfers, then accounts, then the usage as it is now."""
    posted = uow.ledger.lock_posted([usage.transfer_id for usage in usages if usage.transfer_id])
    accounts = uow.ledger.lock(
        wallets_of={usage.account_id for usage in usages},
        earnings_of=[meter.provider_id] if meter.provider_id else [],
        others=[FEES_ID, CREDITS_ID] if from_fund else [FEES_ID],
    )
    found = uow.metering.lock([usage.id for usage in usages])
    if any(usage.transfer_id and usage.transfer_id not in posted for usage in found):
        raise busy()  # it was charged or corrected since it was looked at: look again
    return accounts, posted, found


def _corrected(before: Usage, after: Usage, books: Books, posted: Mapping[TransferId, Posted]) -> Usage:
    """`after`, with its charge corrected in the books; raises why that cannot be done."""
    if before.transfer_id is None:
        return after
    reversal_id, charge_id = new_transfer_id(), new_transfer_id()
    ways = corrections(before, after.amount_nano, posted[before.transfer_id].transfer, reversal_id, charge_id)
    if refused := attempt(books, ways):
        raise refused
    return replace(after, transfer_id=charge_id) if ways and after.amount_nano else after
