"""Bills for tests: drafted, issued, credited, void, and whether they add up."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from backend.domain.access import Principal
from backend.domain.billing import NANO_PER_CENT, Document, DocumentState
from backend.domain.errors import Conflict
from backend.domain.ids import DocumentId
from backend.domain.periods import Period
from backend.services import invoicing
from backend.services.credit_notes import credit_note
from backend.services.documents import Bill, list_documents, void
from tests.integration.services.earning import ADMIN
from tests.integration.services.spending import AFTER, OCTOBER
from tests.market import Market

Result = TypeVar("Result")


def drafted(market: Market, period: Period = OCTOBER, buyer: Principal | None = None) -> Bill:
    return invoicing.draft(market.app.uow(), AFTER, ADMIN, (buyer or market.buyer).account_id, period)


def billed(market: Market, period: Period = OCTOBER, buyer: Principal | None = None) -> Bill:
    """The issued invoice of a period."""
    return invoicing.finalise(market.app.uow(), AFTER, ADMIN, id_of(drafted(market, period, buyer)))


def credited(market: Market, invoice: Bill) -> Bill:
    return credit_note(market.app.uow(), AFTER, ADMIN, id_of(invoice))


def voided(market: Market, bill: Bill) -> Bill:
    return void(market.app.uow(), AFTER, ADMIN, id_of(bill), "wrong address")


def id_of(bill: Bill) -> DocumentId:
    assert bill.document.id is not None
    return bill.document.id


def issued(market: Market, buyer: Principal | None = None) -> list[Document]:
    """The documents of the buyer that count, oldest first."""
    found = list_documents(market.app.uow(), (buyer or market.buyer).account_id, limit=500)
    counting = [d for d in found if d.state in (DocumentState.FINAL, DocumentState.PAID)]
    return sorted(counting, key=lambda d: (d.kind, d.number or ""))


def carried(market: Market, buyer: Principal | None = None) -> int:
    """What the next document would be given to start with."""
    owner = (buyer or market.buyer).account_id
    with market.app.uow() as uow:
        return uow.documents.carried([owner]).get(owner, 0)


def amounts(bill: Bill) -> list[tuple[str, int]]:
    return [(line.kind, line.amount_nano) for line in bill.lines]


def assert_adds_up(bill: Bill) -> None:
    """Lines, cents and what is carried agree."""
    document = bill.document
    assert sum(line.amount_nano for line in bill.lines) == document.total_nano
    assert sum(line.cents for line in bill.lines) == document.total_cents
    cents = document.total_cents * NANO_PER_CENT
    assert document.carried_in_nano + document.total_nano == cents + document.carried_out_nano
    assert abs(document.carried_out_nano) <= NANO_PER_CENT // 2


def together(count: int, do: Callable[[int], Result]) -> list[Result | Conflict]:
    """The same thing in so many threads."""

    def caught(number: int) -> Result | Conflict:
        try:
            return do(number)
        except Conflict as refused:
            return refused

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(caught, range(count)))
