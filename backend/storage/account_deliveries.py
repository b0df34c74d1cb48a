"""What accounts' own webhooks are owed: written with what they tell of."""

from dataclasses import dataclass

from sqlalchemy import text

from backend.domain.ids import AccountId
from backend.storage.owed import Owed, OwedRepository
from backend.storage.tables import AccountDeliveryRow

CLAIMED_OF_ACCOUNT_MAX = 4  # at once


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDelivery(Owed):
    """One POST about a thing of the account's."""

    account_id: AccountId
    subject: str
    url: str


class AccountDeliveryRepository(OwedRepository[AccountDelivery]):
    """Accounts take turns, each with CLAIMED_OF_ACCOUNT_MAX at most: one whose receiver hangs holds up no other."""

    table = AccountDeliveryRow
    record = AccountDelivery
    whose_turn = (
        "AND id IN (SELECT id FROM (SELECT id, due_at, row_number() OVER (PARTITION BY account_id ORDER BY due_at, id)"
        " AS turn FROM account_deliveries WHERE done_at IS NULL AND due_at <= :now) AS due"
        f" WHERE turn <= {CLAIMED_OF_ACCOUNT_MAX} ORDER BY turn, due_at, id LIMIT :limit)"
    )

    def signing_secret(self) -> str:
        """What links and webhooks of this market are signed with."""
        return str(self._connection.execute(text("SELECT value FROM kept_secrets WHERE name = 'links'")).scalar_one())

    def of_subject(self, subject: str) -> list[AccountDelivery]:
        """What was, or is, owed about a thing, the oldest first."""
        return self._about("subject = :subject", {"subject": subject})
