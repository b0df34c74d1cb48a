"""Usage that other systems report: each event is rated at the price of its time and charged once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from backend.domain.access import Principal, Role
from backend.domain.cloudevents import EVENTS_MAX, Reported, read_event
from backend.domain.errors import Conflict, Invalid, NotFound, SwarmexError, TooLarge, unknown_choice
from backend.domain.ids import AccountId, UsageId
from backend.domain.ledger import FEES_ID
from backend.domain.metering import Usage, UsageState, price_at, rated, spans
from backend.services import log
from backend.services.usage_charges import charge
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 500


class Receipt(StrEnum):
    """What became of an event that was sent."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one event: its usage and, if it could not be charged yet, the code why; or its refusal."""

    receipt: Receipt
    usage: Usage | None = None
    unpaid_code: str | None = None
    refusal: SwarmexError | None = None


@patient
def ingest(uow: UnitOfWork, now: datetime, principal: Principal, documents: Sequence[object]) -> list[Outcome]:
    """Record and charge CloudEvents, with one outcome per document; a refusal of one leaves the others alone.

    An event that was recorded before, by source and id, gets what became of it; with other content it is refused.
    A constant number of statements for any number of events and accounts; none for no event, which is a batch too.
    Raises Forbidden or TooLarge.
    """
    principal.require(Role.ADMIN)
    if len(documents) > EVENTS_MAX:
        raise TooLarge(f"{len(documents)} events at once", field="events", accepted=f"at most {EVENTS_MAX}")
    events = [read_event(document, now) for document in documents]
    if all(isinstance(event, SwarmexError) for event in events):
        return [_outcome(event, None) for event in events]
    with uow:
        desk = _Desk(uow, now, [event for event in events if isinstance(event, Reported)])
        outcomes = [_outcome(event, desk) for event in events]
        due = [usage for usage in desk.new if usage.state is UsageState.UNPAID]
        tried, refused = charge(uow, now, due, desk.meters)
        charged = {usage.id: usage for usage in tried}
        added = [charged.get(usage.id, usage) for usage in desk.new]
        uow.metering.add(added)
        if added:
            _record(uow, now, principal, added)
        uow.commit()
    return [
        replace(outcome, usage=charged.get(outcome.usage.id, outcome.usage), unpaid_code=refused.get(outcome.usage.id))
        if outcome.usage
        else outcome
        for outcome in outcomes
    ]


def list_usage(
    uow: UnitOfWork,
    account_id: AccountId | None,
    meter: str | None = None,
    state: str | None = None,
    limit: int = 100,
    before: UsageId | None = None,
) -> list[Usage]:
    """The usage received last, of an account or of everybody; `before` continues a list below its last id."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    if state is not None and state not in [s.value for s in UsageState]:
        raise unknown_choice("state", state, [s.value for s in UsageState])
    with uow:
        return uow.metering.newest(account_id, meter, UsageState(state) if state else None, limit, before)


def show_usage(uow: UnitOfWork, usage_id: UsageId, principal: Principal) -> Usage:
    """One event of the caller's account (admins: of any); raises NotFound."""
    with uow:
        usage = uow.metering.find(usage_id)
    if usage is None:
        raise NotFound("usage", usage_id)
    principal.require_owner(usage.account_id, "usage", usage_id)
    return usage


class _Desk:
    """The events of one request against what is recorded, with the locks that charging them needs.

    Who has the lock of the fees account is alone here: an event that is not known by then is sent by nobody else.
    """

    def __init__(self, uow: UnitOfWork, now: datetime, events: Sequence[Reported]) -> None:
        called = {_called(event.subject) for event in events}
        self._payers = uow.metering.payers(
            [name for name in called if isinstance(name, UUID)], [name for name in called if isinstance(name, str)]
        )
        self.meters = uow.metering.meters_named({event.meter for event in events})
        uow.ledger.lock(
            wallets_of=set(self._payers.values()),
            earnings_of={meter.provider_id for meter in self.meters.values() if meter.provider_id},
            others=[FEES_ID],
        )
        prices = uow.metering.prices(self.meters, for_share=True)
        self._valid = {meter: spans(versions) for meter, versions in prices.items()}
        self._known = uow.metering.known({event.key for event in events})
        self._now = now
        self.new: list[Usage] = []

    def take(self, event: Reported) -> tuple[Receipt, Usage]:
        """The usage that an event is, and whether it is new; raises what it is refused for."""
        known = self._known.get(event.key)
        if known is None:
            self._known[event.key] = usage = self._rate(event)
            self.new.append(usage)
            return Receipt.ACCEPTED, usage
        if known.digest != event.digest:
            raise Conflict(
                f"event {event.event_id} of {event.source} was reported with other content",
                code="event_reused",
                field="id",
                accepted="the content that it had, or an id of its own for another event",
            )
        return Receipt.DUPLICATE, known

    def _rate(self, event: Reported) -> Usage:
        payer = self._payers.get(_called(event.subject))
        if payer is None:
            raise NotFound("account", event.subject, field="subject", accepted="the id or name of an account")
        if event.meter not in self.meters:
            raise NotFound("meter", event.meter, field="type", accepted="the name of a meter")
        price = price_at(self._valid[event.meter], event.occurred_at)
        usage = Usage(
            UsageId(new_id()),
            event.source,
            event.event_id,
            event.digest,
            event.meter,
            payer,
            event.quantity_micro,
            event.occurred_at,
            self._now,
            price.version,
            0,
            UsageState.FREE,
        )
        return rated(usage, price)


def _outcome(event: Reported | SwarmexError, desk: _Desk | None) -> Outcome:
    if desk is None or isinstance(event, SwarmexError):
        assert isinstance(event, SwarmexError)
        return Outcome(Receipt.REFUSED, refusal=event)
    try:
        receipt, usage = desk.take(event)
    except SwarmexError as refusal:
        return Outcome(Receipt.REFUSED, refusal=refusal)
    return Outcome(receipt, usage)


def _called(subject: str) -> UUID | str:
    try:
        return UUID(subject)
    except ValueError:
        return subject


def _record(uow: UnitOfWork, now: datetime, principal: Principal, added: Sequence[Usage]) -> None:
    counts = Counter(usage.state.value for usage in added)
    log.record(
        uow,
        now,
        principal,
        "usage.report",
        f"usage {added[0].id}",
        events=len(added),
        amount_nano=sum(usage.amount_nano for usage in added),
        **counts,
    )
