"""Documents on their way: composed from the ledger, numbered, and recorded in place of earlier drafts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.bill_lines import lines_of
from backend.domain.billing import Document, DocumentKind, DocumentState, Line, number_of, series_of, totals_of
from backend.domain.ids import AccountId, DocumentId, LedgerAccountId
from backend.domain.periods import ZONE_SHIFT_MAX, Period, join, zone_named
from backend.storage.billable import Asked
from backend.storage.ids import new_id
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Composed:
    """An invoice as it would be now: what it replaces, and the issued invoice that stands in its way."""

    document: Document
    lines: tuple[Line, ...]
    drafts: tuple[DocumentId, ...]
    issued: Document | None


def compose(
    uow: UnitOfWork, now: datetime, wallets: Mapping[AccountId, LedgerAccountId], period: Period
) -> list[Composed]:
    """The invoices of accounts as they would be now, as drafts, in the order of their accounts' ids."""
    near = uow.documents.invoices_near(wallets, period.start - ZONE_SHIFT_MAX, period.end)
    periods = {account: _joined(period, near.get(account, [])) for account in sorted(wallets)}
    moved = uow.documents.movements([Asked(a, wallets[a], p.start, p.end) for a, p in periods.items()])
    carried = uow.documents.carried(wallets)
    composed = []
    for account, own in periods.items():
        overlapping = [d for d in near.get(account, []) if own.overlaps(d.period_start, d.period_end)]
        drafts = [d for d in overlapping if d.state is DocumentState.DRAFT]
        lines = lines_of(moved.get(account, []), carried.get(account, 0))
        document = draft_of(now, DocumentKind.INVOICE, account, own, lines, carried.get(account, 0))
        for same in (d for d in drafts if d.period_start == own.start):
            document = replace(document, id=same.id, created_at=same.created_at)
        issued = next((d for d in overlapping if d.state is not DocumentState.DRAFT), None)
        composed.append(Composed(document, tuple(lines), tuple(d.id for d in drafts if d.id), issued))
    return composed


def draft_of(
    now: datetime,
    kind: DocumentKind,
    account: AccountId,
    period: Period,
    lines: Iterable[Line],
    carried_in_nano: int,
) -> Document:
    """A document that is not issued yet."""
    totals = totals_of(lines, carried_in_nano)
    return Document(
        id=DocumentId(new_id()),
        account_id=account,
        kind=kind,
        number=None,
        period_start=period.start,
        period_end=period.end,
        timezone=period.timezone,
        state=DocumentState.DRAFT,
        credits_id=None,
        total_nano=totals.total_nano,
        carried_in_nano=totals.carried_in_nano,
        total_cents=totals.total_cents,
        carried_out_nano=totals.carried_out_nano,
        reason=None,
        reference=None,
        created_at=now,
    )


def numbered(uow: UnitOfWork, now: datetime, documents: Sequence[Document]) -> list[Document]:
    """Documents of one kind and time zone as final ones, under the next numbers of the year."""
    year = now.astimezone(zone_named(documents[0].timezone)).year
    kind = documents[0].kind
    first = uow.documents.next_numbers(series_of(kind, year), len(documents))
    return [
        replace(document, state=DocumentState.FINAL, number=number_of(kind, year, first + place), finalised_at=now)
        for place, document in enumerate(documents)
    ]


def issue(uow: UnitOfWork, now: datetime, composed: Sequence[Composed]) -> list[Document]:
    """Number and record documents of one period; returns them as they are now."""
    if not composed:
        return []
    documents = numbered(uow, now, [c.document for c in composed])
    save(uow, [replace(c, document=document) for c, document in zip(composed, documents, strict=True)])
    return documents


def save(uow: UnitOfWork, composed: Sequence[Composed]) -> None:
    """Record documents in place of the drafts that they replace; only issued ones claim reversals as theirs."""
    uow.documents.drop_drafts([draft for c in composed for draft in c.drafts])
    uow.documents.add(
        [c.document for c in composed],
        {c.document.id: c.lines if c.document.number else _unclaimed(c.lines) for c in composed if c.document.id},
    )


def _unclaimed(lines: Iterable[Line]) -> list[Line]:
    return [replace(line, transfer_id=None) for line in lines]


def _joined(period: Period, near: Sequence[Document]) -> Period:
    """The period as it follows the account's previous invoice, which may be of another time zone."""
    issued = [d for d in near if d.state is not DocumentState.DRAFT and d.period_end < period.start + ZONE_SHIFT_MAX]
    return join(period, issued[-1].period_end, issued[-1].timezone) if issued else period
