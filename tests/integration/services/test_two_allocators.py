"""Two allocation agents on one database: each slot is sold once, whoever clears."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.services import allocation, audit, epochs
from backend.services.epochs import Verdict
from tests.integration.services.test_epochs import ADMIN
from tests.market import Market

ORDERS = 10_000
BATCH = 1_000
REGIONS = ("north", "south", "east", "west")
NODES_EACH = 8
SLOTS = 250


@pytest.mark.slow
def test_two_allocators_never_sell_a_slot_twice_among_ten_thousand_orders(market: Market) -> None:
    for region in REGIONS:
        for number in range(NODES_EACH):
            market.node(f"{region}-{number}", slots=SLOTS, region=region, ask=1_000_000 + number)
    executor = market.executor()
    for start in range(0, ORDERS, BATCH):
        for region in REGIONS:
            market.place(
                BATCH // len(REGIONS), region=region, deadline_s=3_600, limit_nano_per_slot_s=2_000_000 + start
            )
    begin = Barrier(2)

    def allocate(_: int) -> int:
        begin.wait()
        sold = 0
        for _ in range(ORDERS // BATCH * 2):
            executor.beat()
            sold += allocation.clear_markets(market.app.uow, utc_now()).advanced
        return sold

    with ThreadPoolExecutor(2) as pool:
        sold = list(pool.map(allocate, range(2)))
    capacity = len(REGIONS) * NODES_EACH * SLOTS
    with market.app.engine.connect() as connection:
        counted = text("SELECT node_id, sum(slots)::int AS slots FROM leases WHERE state = 'active' GROUP BY 1")
        leased = Counter({row.node_id: row.slots for row in connection.execute(counted)})
        per_order = connection.execute(
            text("SELECT max(n) FROM (SELECT sum(slots) AS n FROM leases WHERE state = 'active' GROUP BY order_id) t")
        ).scalar_one()
        busy = {row.id: row.busy_slots for row in connection.execute(text("SELECT id, busy_slots FROM nodes"))}
    assert leased == busy
    assert max(leased.values()) <= SLOTS
    assert leased.total() == min(capacity, ORDERS)
    assert per_order == 1
    assert all(sold), "one of the two did everything"
    replays = epochs.replay_last(market.app.uow(), ADMIN, 100)
    assert {replay.verdict for replay in replays} == {Verdict.EQUAL}
    assert audit.audit_ledger(market.app.uow()).ok
