"""Bills of a past month over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.access import Spender
from backend.domain.ids import AccountId, HoldId, TransferId
from backend.domain.tiers import TierName
from backend.services import escrow
from tests.integration.api.callers import Callers

SPENT = (3_333_333_333, 1_000_000_001, 6)  # nano-credits that end in no whole cent
TOTAL = "4.333333340"


def nano(amount: str) -> int:
    return int(amount.replace(".", ""))


def long_ago() -> datetime:
    """A moment in the middle of the month before the last one: over in any time zone, and long enough to be final."""
    return (utc_now().replace(day=1) - timedelta(days=45)).astimezone(UTC)


def spend_long_ago(market: Swarmex, spender: Spender, provider: AccountId) -> list[TransferId]:
    """Charges and fees of that month; their ids."""
    when = long_ago()
    made: list[TransferId] = []
    for amount in SPENT:
        with market.uow() as uow:
            hold = HoldId(new_id())
            escrow.reserve_one(uow, when, escrow.Need(spender, hold, amount, when, TierName.MEDIUM))
            made += [t.id for t in escrow.capture(uow, when, [escrow.Charge(hold, provider, amount, 50_000)])]
            uow.commit()
    return made


def path_of(document: dict[str, Any], step: str = "") -> str:
    return f"/api/v1/invoices/{document['id']}{step}"


def drafted(callers: Callers, account: object) -> dict[str, Any]:
    """The draft of an account's past month."""
    made = callers.admin.post("/api/v1/invoices", json={"account": str(account), "month": f"{long_ago():%Y-%m}"})
    assert made.status_code == 201, made.text
    return dict(made.json())
