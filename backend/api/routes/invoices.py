"""Invoices and credit notes: read by whom they are for, made by admins."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse, Response

from backend.api.dependencies import Market, Now
from backend.api.security import Admin, Anyone, account_of
from backend.api.wire.base import Text
from backend.api.wire.invoices import DraftRequest, Invoice, InvoiceList, Payment, Summary, Voiding
from backend.domain.access import Role
from backend.domain.ids import AccountId, DocumentId
from backend.domain.periods import period_of
from backend.services import bill_pages, credit_notes, documents, invoicing

router = APIRouter(prefix="/api/v1/invoices", tags=["invoices"])


@router.get("")
def list_invoices(
    caller: Anyone,
    market: Market,
    account: UUID | None = None,
    kind: Text | None = None,
    state: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=documents.LIST_MAX)] = 100,
    before: UUID | None = None,
) -> InvoiceList:
    """The caller's invoices and credit notes, newest first; to admins, everybody's or those of the account named."""
    whose = None if account is None and caller.role is Role.ADMIN else account_of(caller, account)
    below = DocumentId(before) if before else None
    found = documents.list_documents(market.uow(), whose, kind, state, limit, below)
    following = found[-1].id if len(found) == limit else None
    return InvoiceList(invoices=[Summary.of(document) for document in found], next_before=following)


@router.get("/current")
def show_current(
    caller: Anyone, market: Market, now: Now, account: UUID | None = None, timezone: Text = "UTC"
) -> Invoice:
    """The invoice of the running month as it would be now; nothing is written, and it has no id."""
    whose, period = account_of(caller, account), period_of(now, timezone)
    return Invoice.of_bill(invoicing.preview(market.uow(), now, caller, whose, period))


@router.post("", status_code=201)
def draft_invoice(body: DraftRequest, caller: Admin, market: Market, now: Now) -> Invoice:
    """Make the draft of an account and period, or bring it up to date; drafts that it overlaps are dropped."""
    period = period_of(now, body.timezone, body.month, body.first, body.end)
    return Invoice.of_bill(invoicing.draft(market.uow(), now, caller, AccountId(body.account), period))


@router.get("/{document_id}")
def show_invoice(document_id: UUID, caller: Anyone, market: Market) -> Invoice:
    """An invoice or credit note with its lines."""
    return Invoice.of_bill(documents.show_document(market.uow(), DocumentId(document_id), caller))


@router.get("/{document_id}/csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def download_csv(document_id: UUID, caller: Anyone, market: Market) -> Response:
    """The lines as comma-separated values."""
    bill = documents.show_document(market.uow(), DocumentId(document_id), caller)
    attached = f'attachment; filename="{bill_pages.file_name(bill.document, "csv")}"'
    return Response(bill_pages.csv_of(bill), media_type="text/csv", headers={"Content-Disposition": attached})


@router.get("/{document_id}/html", response_class=HTMLResponse)
def show_page(document_id: UUID, caller: Anyone, market: Market) -> HTMLResponse:
    """A page to print, on A4."""
    bill = documents.show_document(market.uow(), DocumentId(document_id), caller)
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return HTMLResponse(bill_pages.html_of(bill), headers={"Content-Security-Policy": policy})


@router.post("/{document_id}/finalise")
def finalise_invoice(document_id: UUID, caller: Admin, market: Market, now: Now) -> Invoice:
    """Issue a draft whose period is over, under the next number; twice is once."""
    return Invoice.of_bill(invoicing.finalise(market.uow(), now, caller, DocumentId(document_id)))


@router.post("/{document_id}/pay")
def pay_invoice(document_id: UUID, body: Payment, caller: Admin, market: Market, now: Now) -> Invoice:
    """Record that a document was settled outside; the same reference again gets the first answer."""
    return Invoice.of_bill(documents.pay(market.uow(), now, caller, DocumentId(document_id), body.reference))


@router.post("/{document_id}/void")
def void_invoice(document_id: UUID, body: Voiding, caller: Admin, market: Market, now: Now) -> Invoice:
    """Make an issued document void; its period may be billed anew, under another number."""
    return Invoice.of_bill(documents.void(market.uow(), now, caller, DocumentId(document_id), body.reason))


@router.post("/{document_id}/credit-note", status_code=201)
def issue_credit_note(document_id: UUID, caller: Admin, market: Market, now: Now) -> Invoice:
    """Issue a credit note over what was reversed, since, of an issued invoice."""
    return Invoice.of_bill(credit_notes.credit_note(market.uow(), now, caller, DocumentId(document_id)))
