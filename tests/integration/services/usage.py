"""Usage for tests: events as a sender would write them, and a meter that a test is about."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId, HoldId
from backend.domain.ledger import Reserve, apply
from backend.domain.metering import PRICES_FROM, Usage
from backend.domain.money import NANO_PER_CREDIT
from backend.services import accounts, metering, meters
from backend.services.rating import Rerated, rerate
from tests.market import Market

OPERATOR = Principal(None, AccountId(UUID(int=0)), Role.ADMIN)
METER = "storage.gb_hours"
PRICE = 1_000_000
FUNDS = 1_000 * NANO_PER_CREDIT
NOTHING = Rerated(0, 0, ())


def event(number: int = 1, quantity: object = "2", **changes: Any) -> dict[str, Any]:
    """One event of the buyer; a change to None leaves the attribute out."""
    whole = {
        "specversion": "1.0",
        "id": f"event-{number}",
        "source": "/storage/north",
        "type": METER,
        "subject": "buyer",
        "data": {"quantity": quantity},
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def add_meter(market: Market, *, pays: Principal | None = None, name: str = METER, price: int = PRICE) -> None:
    """A meter at that price, which pays somebody or else the market."""
    provider = pays.account_id if pays else None
    meters.add_meter(market.app.uow(), utc_now(), OPERATOR, name, "GB hours", price, provider)


def send(market: Market, *documents: object, now: datetime | None = None) -> list[metering.Outcome]:
    """Report these."""
    return metering.ingest(market.app.uow(), now or utc_now(), OPERATOR, documents)


def told(outcomes: Sequence[metering.Outcome]) -> list[str]:
    """What became of each, in a word: the state of its usage, or the code of its refusal."""
    return [
        outcome.refusal.code if outcome.refusal else str(outcome.usage and outcome.usage.state) for outcome in outcomes
    ]


def earned(market: Market, principal: Principal) -> int:
    """What an account's earnings have."""
    return accounts.show_account(market.app.uow(), principal.account_id).earnings_nano


def price(market: Market, nano: int, since: datetime = PRICES_FROM) -> Rerated:
    """Set a price, from the beginning unless later."""
    return meters.set_price(market.app.uow(), utc_now(), OPERATOR, METER, nano, since)[1]


def again(market: Market) -> Rerated:
    """Rate anew what is not rated right."""
    return rerate(market.app.uow(), utc_now(), OPERATOR, METER)


def usage(market: Market) -> list[Usage]:
    """All of it, the oldest first."""
    return metering.list_usage(market.app.uow(), None)[::-1]


def transfers(market: Market) -> list[tuple[str, int]]:
    """Kind and amount of all but deposits."""
    with market.app.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT kind, amount_nano FROM transfers WHERE kind <> 'deposit' ORDER BY id"
        )
        return [(kind, amount) for kind, amount in found]


def pay_out(market: Market, nano: int) -> None:
    """Let the provider have asked for so much of its earnings."""
    with market.app.uow() as uow:
        accounts = uow.ledger.lock(earnings_of=[market.provider.account_id])
        [earnings] = accounts.balances
        asked = Reserve(HoldId(new_id()), earnings, nano, utc_now() + timedelta(days=1))
        uow.ledger.write(apply([asked], accounts.balances), utc_now())
        uow.commit()
