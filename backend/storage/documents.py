"""Invoices and credit notes with their lines and numbers."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.bill_lines import Movement
from backend.domain.billing import NANO_PER_CENT, Document, DocumentKind, DocumentState, Line
from backend.domain.ids import AccountId, DocumentId
from backend.storage import billable
from backend.storage.billable import Asked
from backend.storage.rows import insert_records, insert_rows, update_rows, values_of
from backend.storage.tables import DocumentLineRow, DocumentRow

_COLUMNS = ", ".join(Document.__dataclass_fields__)
_LINE_COLUMNS = ", ".join(Line.__dataclass_fields__)


class DocumentRepository:
    """Documents. Whoever writes one locks its account's wallet first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def movements(self, asked: Sequence[Asked]) -> dict[AccountId, list[Movement]]:
        """What belongs on each account's invoice of its period; accounts without any are left out."""
        return billable.movements(self._connection, asked)

    def reversals(self, asked: Asked) -> list[Movement]:
        """Reversals since of what was billed in a period, which are on no document yet; one by one."""
        return billable.reversals(self._connection, asked)

    def accounts_to_bill(self, since: datetime, until: datetime) -> list[AccountId]:
        """Accounts whose wallets moved other than by deposits, in id order."""
        return billable.accounts_to_bill(self._connection, since, until)

    def invoices_to_credit(self, since: datetime, limit: int) -> list[str]:
        """Numbers of issued invoices of which something was reversed since a moment that is on no document yet."""
        return billable.to_credit(self._connection, since, limit)

    def find(self, document_id: DocumentId) -> Document | None:
        """The document of that id."""
        found = self._select("id = :id", {"id": document_id})
        return found[0] if found else None

    def numbered(self, number: str) -> Document | None:
        """The document of that number."""
        found = self._select("number = :number", {"number": number})
        return found[0] if found else None

    def account_names(self, accounts: Collection[AccountId]) -> dict[AccountId, str]:
        """What the accounts of documents are called."""
        rows = self._connection.execute(
            text("SELECT id, name FROM accounts WHERE id = ANY(:accounts)"), {"accounts": list(accounts)}
        )
        return {row.id: row.name for row in rows}

    def lines(self, document_id: DocumentId) -> list[Line]:
        """A document's lines in their order."""
        rows: Any = self._connection.execute(
            text(f"SELECT {_LINE_COLUMNS} FROM document_lines WHERE document_id = :id ORDER BY seq"),
            {"id": document_id},
        )
        return [Line(*row) for row in rows]

    def newest(
        self,
        account: AccountId | None,
        kind: DocumentKind | None,
        state: DocumentState | None,
        limit: int,
        before: DocumentId | None,
    ) -> list[Document]:
        """The newest documents of an account (None: of everybody), older than `before`."""
        return self._select(
            "(CAST(:account AS uuid) IS NULL OR account_id = :account)"
            " AND (CAST(:kind AS text) IS NULL OR kind = :kind) AND (CAST(:state AS text) IS NULL OR state = :state)"
            " AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit",
            {"account": account, "kind": kind, "state": state, "before": before, "limit": limit},
        )

    def invoices_near(
        self, accounts: Collection[AccountId], since: datetime, until: datetime
    ) -> dict[AccountId, list[Document]]:
        """The invoices of accounts that are not void and touch [since, until]; accounts without any are left out."""
        found: dict[AccountId, list[Document]] = {}
        for document in self._select(
            "account_id = ANY(:accounts) AND kind = 'invoice' AND state <> 'void' AND period_start <= :until"
            " AND period_end >= :since ORDER BY period_end",
            {"accounts": list(accounts), "since": since, "until": until},
        ):
            found.setdefault(document.account_id, []).append(document)
        return found

    def notes_of(self, invoice: DocumentId) -> list[Document]:
        """The credit notes of an invoice that are not void."""
        return self._select("credits_id = :invoice AND state <> 'void' ORDER BY id", {"invoice": invoice})

    def carried(self, accounts: Collection[AccountId]) -> dict[AccountId, int]:
        """What rounding left over so far in the issued documents of accounts, in nano-credits; where there are any."""
        rows = self._connection.execute(
            text(
                "SELECT account_id, sum(total_nano - total_cents * :cent)::bigint AS carried FROM documents"
                " WHERE account_id = ANY(:accounts) AND state IN ('final', 'paid') GROUP BY account_id"
            ),
            {"accounts": list(accounts), "cent": NANO_PER_CENT},
        )
        return {row.account_id: row.carried for row in rows}

    def next_numbers(self, series: str, count: int) -> int:
        """The first of so many numbers of a series, without gaps: the row stays locked until the transaction ends."""
        last = self._connection.execute(
            text(
                "INSERT INTO document_numbers (series, last) VALUES (:series, :count)"
                " ON CONFLICT (series) DO UPDATE SET last = document_numbers.last + :count RETURNING last"
            ),
            {"series": series, "count": count},
        ).scalar_one()
        return int(last) - count + 1

    def add(self, documents: Sequence[Document], lines: Mapping[DocumentId, Sequence[Line]]) -> None:
        """Record documents with their lines, in two statements."""
        insert_records(self._connection, DocumentRow, documents)
        insert_rows(
            self._connection,
            DocumentLineRow,
            [{"document_id": document, **values_of(line)} for document in lines for line in lines[document]],
        )

    def drop_drafts(self, drafts: Collection[DocumentId]) -> None:
        """Forget drafts, which others replace."""
        if drafts:
            self._connection.execute(
                text(
                    "WITH gone AS (DELETE FROM document_lines WHERE document_id = ANY(:ids) AND document_id IN"
                    " (SELECT id FROM documents WHERE state = 'draft'))"
                    " DELETE FROM documents WHERE id = ANY(:ids) AND state = 'draft'"
                ),
                {"ids": list(drafts)},
            )

    def write(self, document: Document) -> None:
        """Record what became of an issued document."""
        values = values_of(document)
        kept = ("id", "state", "reason", "reference", "closed_at")
        update_rows(self._connection, DocumentRow, [{name: values[name] for name in kept}])

    def free_reversals(self, document_id: DocumentId) -> None:
        """Let the reversals on a void document go to another; its lines still name them in words."""
        self._connection.execute(
            text("UPDATE document_lines SET transfer_id = NULL WHERE document_id = :id AND transfer_id IS NOT NULL"),
            {"id": document_id},
        )

    def _select(self, condition: str, binds: dict[str, Any]) -> list[Document]:
        rows = self._connection.execute(text(f"SELECT {_COLUMNS} FROM documents WHERE {condition}"), binds)
        return [
            Document(**{**row._mapping, "kind": DocumentKind(row.kind), "state": DocumentState(row.state)})
            for row in rows
        ]
