"""Money that was earned, for tests of what becomes of it afterwards."""

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId, HoldId
from backend.domain.ledger import AccountKind
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.orders import OrderState
from backend.services import audit, credits, escrow
from backend.storage.order_rows import Order
from tests.market import Market

DEAR = 10 * NANO_PER_CREDIT  # a slot-second, so that microseconds cost something
BUSY_US = 5
CHARGED = DEAR * BUSY_US // 1_000_000
ADMIN = Principal(None, AccountId(new_id()), Role.ADMIN)


def ran(market: Market, node: str = "a") -> Order:
    """An order that ran on one node of the market's provider and was charged CHARGED, fee included."""
    market.node(node, ask=DEAR, pool=node)
    return ran_again(market, node)


def ran_again(market: Market, node: str = "a", **changes: object) -> Order:
    """Another order on that node, or one that was asked for otherwise."""
    executor = market.executor(node)
    [order] = market.place(1, **changes)
    market.clear()
    executor.commit(executor.claim(market.dispatched()), busy_us=BUSY_US)
    market.settle()
    order = market.show(order)
    assert (order.state, order.charged_nano) == (OrderState.SETTLED, CHARGED)
    return order


def earn(market: Market, nano: int, provider: Principal | None = None) -> None:
    """Let the provider earn so much from the buyer, at once and without an order or fee."""
    provider = provider or market.provider
    with market.app.uow() as uow:
        hold = HoldId(new_id())
        escrow.reserve_one(uow, utc_now(), escrow.Need(market.buyer.spender, hold, nano, utc_now()))
        escrow.capture(uow, utc_now(), [escrow.Charge(hold, provider.account_id, nano)])
        uow.commit()


def fill_fund(market: Market, nano: int, reference: str = "filling") -> None:
    """Money for the credits fund."""
    credits.fund(market.app.uow(), utc_now(), ADMIN, nano, "world", reference)


def has(market: Market, principal: Principal, kind: AccountKind) -> int:
    """What an account's balance of a kind has available."""
    with market.app.uow() as uow:
        return uow.ledger.balances_of(principal.account_id)[kind].available_nano


def logged(market: Market, noun: str) -> list[str]:
    """The actions of a noun in the audit log, oldest first."""
    with market.app.uow() as uow:
        actions = [entry.action for entry in reversed(uow.log.newest(None, None, None, 100, None))]
    return [action for action in actions if action.startswith(f"{noun}.")]


def assert_audited(market: Market) -> None:
    """The books are in order."""
    report = audit.audit_ledger(market.app.uow())
    assert report.ok, report.differences
