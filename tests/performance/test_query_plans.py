"""What agents and requests ask the database again and again never costs more because many orders went before."""

from datetime import timedelta
from uuid import UUID

import pytest

from backend.bootstrap import utc_now
from backend.domain.ids import OrderId
from backend.domain.orders import CloseReason
from backend.domain.work import ItemFailure
from backend.services import accounts, allocation, holds, judging, orders, receipts, sessions, sweeper
from tests.market import Market
from tests.performance.conftest import BATCH
from tests.performance.order_path import OrderPath
from tests.performance.plans import Sent, body_of, sent_to, whole_tables_read

STATEMENTS_MIN = 50  # there are more; fewer would mean that a step was not taken

# Tables that only grow. Not the outbox: it forgets after an hour, a thousand rows at a time.
GROWING = {"orders", "work_items", "holds", "transfers", "trades", "leases", "units"}
ITEM = "ARRAY['00000000-0000-0000-0000-000000000000']::uuid[]"
FUNCTIONS = {
    "work_claim": {"p_agent": "gen_random_uuid()", "p_unit": "'00000000-0000-0000-0000-000000000000'::uuid"},
    "work_beat": {"p_agent": "gen_random_uuid()", "p_items": ITEM, "p_fences": "ARRAY[1]::bigint[]"},
    "work_commit": {
        "p_agent": "gen_random_uuid()",
        "p_items": ITEM,
        "p_fences": "ARRAY[1]::bigint[]",
        "p_busy_us": "ARRAY[1]::bigint[]",
        "p_outputs": "ARRAY['x']::bytea[]",
    },
    "work_release": {"p_agent": "gen_random_uuid()", "p_items": ITEM, "p_fences": "ARRAY[1]::bigint[]"},
    "work_fail": {
        "p_agent": "gen_random_uuid()",
        "p_items": ITEM,
        "p_fences": "ARRAY[1]::bigint[]",
        "p_errors": "ARRAY['x']",
    },
}


@pytest.mark.slow
def test_with_20_000_orders_no_repeated_statement_reads_a_whole_table(market: Market, path: OrderPath) -> None:
    path.beat()
    with sent_to(market.app.engine) as sent:
        every_step_of_a_few_orders(market, path)
        every_look_at_one_order(market)
        every_step_of_a_session(market)
        everything_by_the_clock(market)
    assert len(sent) >= STATEMENTS_MIN
    with market.app.engine.connect() as connection:
        sent += [body_of(connection, name, arguments) for name, arguments in FUNCTIONS.items()]
        reading = [(one, read) for one in sent if (read := whole_tables_read(connection, one) & GROWING)]
    assert not reading, "\n".join(described(one, tables) for one, tables in reading)


def every_step_of_a_few_orders(market: Market, path: OrderPath) -> None:
    """Some settled, some failed, some left at every stage between."""
    path.place(BATCH)
    path.clear()
    for dispatch in path.relay():
        items = path.claim(dispatch)
        market.node_database.fail(path.executor_id, [ItemFailure(i.item_id, i.fence, "broke") for i in items[:2]])
        path.commit(items[2:-2])
    path.settle()
    path.place(BATCH)
    path.clear()
    path.place(BATCH)


def every_look_at_one_order(market: Market) -> None:
    """What its owner asks, and a cancellation."""
    uow, buyer = market.app.uow, market.buyer
    [order, *_] = orders.list_orders(uow(), buyer.account_id, "open", limit=5)
    orders.list_orders(uow(), buyer.account_id, limit=5)
    orders.list_orders(uow(), None, limit=5, before=OrderId(UUID(int=1 << 127)))
    orders.show_order(uow(), order.id, buyer)
    receipts.receipt(uow(), order.id, buyer)
    receipts.results(uow(), order.id, buyer)
    accounts.show_account(uow(), buyer.account_id)
    orders.cancel_order(uow(), utc_now(), order.id, buyer)


def every_step_of_a_session(market: Market) -> None:
    """Opened, granted, prolonged, ended and paid."""
    uow, now = market.app.uow, utc_now()
    order_id = sessions.open_session(uow(), now, market.buyer, "doubling", "medium")
    market.clear()
    session = sessions.progress(uow(), now, order_id).lease
    assert session is not None
    sessions.renew(uow(), now + timedelta(seconds=20), session.lease_id)
    sessions.states(uow(), [session.lease_id])
    sessions.end(uow(), now + timedelta(seconds=40), session.lease_id, CloseReason.SESSION_IDLE)
    sessions.settle_windows(uow(), now + timedelta(seconds=40))


def everything_by_the_clock(market: Market) -> None:
    """What the settlement agent does twice a second, now and when nodes, claims and deadlines are long over."""
    for later in (timedelta(0), timedelta(hours=1)):
        now = utc_now() + later
        sweeper.sweep(market.app.uow(), now)
        allocation.dispatch_more(market.app.uow(), now)
        sessions.settle_windows(market.app.uow(), now)
        judging.free_nodes(market.app.uow(), now)
        holds.expire(market.app.uow(), now + timedelta(days=2))


def described(sent: Sent, tables: set[str]) -> str:
    """A failure's line."""
    return f"reads all of {', '.join(sorted(tables))}: {' '.join(sent.statement.split())}"
