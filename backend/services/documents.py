"""Documents once they are made: read, paid, or made void."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.billing import Document, DocumentKind, DocumentState, Line
from backend.domain.corrections import check_reason
from backend.domain.errors import Conflict, Invalid, NotFound, unknown_choice
from backend.domain.ids import AccountId, DocumentId
from backend.domain.references import check_reference
from backend.services import log
from backend.services.accounts import find_account
from backend.storage.contention import patient
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 500


@dataclass(frozen=True, slots=True)
class Bill:
    """A document with its lines, whose it is, and the number of the invoice that it credits."""

    document: Document
    lines: tuple[Line, ...]
    account_name: str
    credits_number: str | None = None


def show_document(uow: UnitOfWork, document_id: DocumentId, principal: Principal) -> Bill:
    """A document of the caller (admins: any); raises NotFound."""
    with uow:
        return bill_of(uow, owned(uow, document_id, principal))


def numbered(uow: UnitOfWork, number: str) -> DocumentId:
    """The id of the document of that number; raises NotFound."""
    with uow:
        document = uow.documents.numbered(number)
    if document is None or document.id is None:
        raise NotFound("document", number, accepted="a number such as INV-2026-000001, or an id")
    return document.id


def list_documents(
    uow: UnitOfWork,
    account_id: AccountId | None,
    kind: str | None = None,
    state: str | None = None,
    limit: int = 100,
    before: DocumentId | None = None,
) -> list[Document]:
    """The newest documents of an account, or of everybody; `before` continues a list below its last id."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    for field, value, choices in (("kind", kind, DocumentKind), ("state", state, DocumentState)):
        if value is not None and value not in [choice.value for choice in choices]:
            raise unknown_choice(field, value, [choice.value for choice in choices])
    with uow:
        return uow.documents.newest(
            account_id, DocumentKind(kind) if kind else None, DocumentState(state) if state else None, limit, before
        )


@patient
def pay(uow: UnitOfWork, now: datetime, principal: Principal, document_id: DocumentId, reference: str) -> Bill:
    """Record that a final document was settled outside, under that payment's reference; the same again changes nothing.

    Raises Conflict(`document_closed`) for a document that is paid otherwise, void or still a draft.
    """
    check_reference(reference)

    def do(document: Document) -> Document:
        if document.state is DocumentState.PAID and document.reference == reference:
            return document
        return _close(document, DocumentState.PAID, now, reference=reference)

    return _change(uow, now, principal, document_id, "pay", do)


@patient
def void(uow: UnitOfWork, now: datetime, principal: Principal, document_id: DocumentId, reason: str) -> Bill:
    """Make a final document void, so that its period may be billed anew; its number stays taken. Twice is once.

    Raises Conflict(`document_closed`), or Conflict(`has_credit_notes`) while credit notes of it stand.
    """
    check_reason(reason)

    def do(document: Document) -> Document:
        if document.state is DocumentState.VOID:
            return document
        if notes := uow.documents.notes_of(document_id):
            raise Conflict(
                f"{document.number} has credit notes: {', '.join(str(note.number) for note in notes)}",
                code="has_credit_notes",
                field="document",
                accepted="an invoice whose credit notes are void",
            )
        after = _close(document, DocumentState.VOID, now, reason=reason)
        uow.documents.free_reversals(document_id)
        return after

    return _change(uow, now, principal, document_id, "void", do)


def owned(uow: UnitOfWork, document_id: DocumentId, principal: Principal) -> Document:
    """A document of the caller (admins: any) inside an open unit of work; raises NotFound."""
    document = uow.documents.find(document_id)
    if document is None:
        raise NotFound("document", document_id)
    principal.require_owner(document.account_id, "document", document_id)
    return document


def names_of(uow: UnitOfWork, found: Iterable[Document]) -> dict[AccountId, str]:
    """The names of the accounts that documents are for."""
    with uow:
        return uow.documents.account_names({document.account_id for document in found})


def bill_of(uow: UnitOfWork, document: Document) -> Bill:
    """A recorded document with its lines, inside an open unit of work."""
    assert document.id is not None
    credited = uow.documents.find(document.credits_id) if document.credits_id else None
    account = find_account(uow, document.account_id)
    lines = uow.documents.lines(document.id)
    return Bill(document, tuple(lines), account.name, credited.number if credited else None)


def locked(uow: UnitOfWork, principal: Principal, document_id: DocumentId) -> Document:
    """A document for an admin to change: its account's wallet is locked until the transaction ends."""
    principal.require(Role.ADMIN)
    uow.ledger.lock(wallets_of=[owned(uow, document_id, principal).account_id])
    return owned(uow, document_id, principal)


def record(uow: UnitOfWork, now: datetime, principal: Principal, verb: str, document: Document) -> None:
    """Record in the audit log what was done to a document."""
    log.record(
        uow,
        now,
        principal,
        f"{document.kind}.{verb}",
        f"document {document.id}",
        account=document.account_id,
        number=document.number,
        period=[document.period_start, document.period_end],
        total_nano=document.total_nano,
        state=document.state,
        reference=document.reference,
        reason=document.reason,
    )


def _change(
    uow: UnitOfWork,
    now: datetime,
    principal: Principal,
    document_id: DocumentId,
    verb: str,
    do: Callable[[Document], Document],
) -> Bill:
    with uow:
        before = locked(uow, principal, document_id)
        after = do(before)
        if after != before:
            uow.documents.write(after)
            record(uow, now, principal, verb, after)
        bill = bill_of(uow, after)
        uow.commit()
    return bill


def _close(
    document: Document,
    state: DocumentState,
    now: datetime,
    reference: str | None = None,
    reason: str | None = None,
) -> Document:
    if document.state is not DocumentState.FINAL:
        raise Conflict(
            f"{document.number or 'the document'} is {document.state}",
            code="document_closed",
            field="document",
            accepted="a final document",
        )
    return replace(document, state=state, closed_at=now, reference=reference, reason=reason)
