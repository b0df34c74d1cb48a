"""Credit notes: what was reversed after its invoice had been issued."""

from dataclasses import replace
from datetime import datetime

from backend.domain.access import Principal
from backend.domain.bill_lines import lines_of
from backend.domain.billing import DocumentKind, DocumentState
from backend.domain.errors import Conflict
from backend.domain.ids import DocumentId
from backend.services.composing import draft_of, numbered
from backend.services.documents import Bill, bill_of, locked, record
from backend.storage.billable import Asked
from backend.storage.contention import patient
from backend.storage.unit_of_work import UnitOfWork


@patient
def credit_note(uow: UnitOfWork, now: datetime, principal: Principal, invoice_id: DocumentId) -> Bill:
    """Issue a credit note over all reversals, since, of what an issued invoice billed; each is credited once.

    What was charged anew in their place is on the invoice of its own period. Raises Forbidden, NotFound, Conflict
    (`not_issued`) for drafts, void invoices and credit notes, or Conflict(`nothing_to_credit`).
    """
    with uow:
        invoice = locked(uow, principal, invoice_id)
        if invoice.kind is not DocumentKind.INVOICE or invoice.state not in (DocumentState.FINAL, DocumentState.PAID):
            raise Conflict(
                f"the {invoice.kind.replace('_', ' ')} is {invoice.state}",
                code="not_issued",
                field="document",
                accepted="an invoice that is final or paid",
            )
        account = invoice.account_id
        wallet = uow.ledger.lock(wallets_of=[account]).wallets[account]
        found = uow.documents.reversals(Asked(account, wallet, invoice.period_start, invoice.period_end))
        if not found:
            raise Conflict(
                f"nothing of {invoice.number} was reversed that is not credited yet",
                code="nothing_to_credit",
                field="document",
                accepted="an invoice with charges that were reversed since",
            )
        carried = uow.documents.carried([account]).get(account, 0)
        lines = lines_of(found, carried)
        note = draft_of(now, DocumentKind.CREDIT_NOTE, account, invoice.period, lines, carried)
        [issued] = numbered(uow, now, [replace(note, credits_id=invoice_id)])
        assert issued.id is not None
        uow.documents.add([issued], {issued.id: lines})
        record(uow, now, principal, "issue", issued)
        bill = bill_of(uow, issued)
        uow.commit()
    return bill
