"""What happens to processes and queues happens to nobody's money."""

import signal

import pytest

from backend.domain.orders import OrderState
from backend.services import audit, receipts
from backend.storage.order_rows import Order
from tests.e2e.swarm import Swarm

pytestmark = [pytest.mark.slow]

ITEM_MULTIPLICATIONS = 400  # more than a second of work


def running_on(swarm: Swarm) -> str | None:
    """The node on which an item is running now."""
    rows = swarm.query(
        "SELECT n.name FROM work_items i JOIN leases l ON l.id = i.lease_id JOIN nodes n ON n.id = l.node_id"
        " WHERE i.state = 'running'"
    )
    return rows[0].name if rows else None


def in_mid_item(swarm: Swarm) -> tuple[Order, str]:
    """An order whose only item runs on one of the nodes `a` and `b`, and on which."""
    swarm.slow_model("slow", ITEM_MULTIPLICATIONS)
    swarm.start_node("a")
    swarm.start_node("b")
    [order] = swarm.market.place(model="slow")
    swarm.until(lambda: running_on(swarm), "the item runs")
    node = running_on(swarm)
    assert node is not None
    return order, node


def assert_charged_once(swarm: Swarm, order_id: object) -> None:
    """One charge and one fee for the order, equal to what its only item was charged; the books are in order."""
    transfers = swarm.query("SELECT kind, amount_nano FROM transfers WHERE order_id = :id", id=order_id)
    assert sorted(t.kind for t in transfers) == ["charge", "fee"]
    [item] = swarm.query("SELECT charged_nano FROM work_items WHERE order_id = :id", id=order_id)
    assert sum(t.amount_nano for t in transfers) == item.charged_nano > 0
    assert audit.audit_ledger(swarm.market.app.uow()).ok


def test_an_item_whose_agent_is_killed_runs_again_elsewhere_and_is_charged_once(swarm: Swarm) -> None:
    order, victim = in_mid_item(swarm)
    swarm.signal(victim, signal.SIGKILL)
    swarm.until_settled(order)
    [item] = receipts.results(swarm.market.app.uow(), order.id, swarm.market.buyer)
    assert item.attempt == 2
    assert item.node_name == ({"a", "b"} - {victim}).pop()
    assert_charged_once(swarm, order.id)


def test_an_agent_that_wakes_after_its_claim_was_lost_commits_nothing(swarm: Swarm) -> None:
    order, sleeper = in_mid_item(swarm)
    swarm.signal(sleeper, signal.SIGSTOP)
    swarm.until_settled(order)
    charged = swarm.market.show(order).charged_nano
    swarm.signal(sleeper, signal.SIGCONT)
    log = swarm.folder / f"{sleeper}.log"
    swarm.until(lambda: '"committed": 0' in log.read_text(), "the late commit was void")
    swarm.until(lambda: swarm.alive(sleeper), "the sleeper is back")
    assert swarm.market.show(order).charged_nano == charged
    assert_charged_once(swarm, order.id)


def test_everything_settles_once_though_redis_is_emptied_in_the_middle(swarm: Swarm) -> None:
    swarm.slow_model("brisk", 10)
    swarm.start_node("a", slots=8)
    swarm.start_node("b", slots=8)
    orders = swarm.market.place(40, model="brisk", deadline_s=600)
    settled = "SELECT 1 FROM orders WHERE state = 'settled'"
    for progress in (1, 15):
        swarm.until(lambda want=progress: len(swarm.query(settled)) >= want, f"{progress} orders are settled")  # type: ignore[misc]
        assert len(swarm.query(settled)) < 40
        swarm.redis.empty()
    swarm.until_settled(*orders)
    rows = swarm.query("SELECT order_id, count(*) AS n, sum(amount_nano) AS nano FROM transfers GROUP BY order_id")
    charges = {row.order_id: (row.n, row.nano) for row in rows if row.order_id}
    assert len(charges) == 40
    assert {n for n, _ in charges.values()} == {2}
    assert sum(nano for _, nano in charges.values()) == sum(swarm.market.show(o).charged_nano for o in orders)
    assert audit.audit_ledger(swarm.market.app.uow()).ok


def test_a_model_file_that_is_not_the_registered_one_is_refused_by_the_node(swarm: Swarm) -> None:
    model = swarm.slow_model("forged", 1)
    (swarm.folder / "objects" / model.ref.uri).write_bytes(b"not the model")
    swarm.start_node("a")
    [order] = swarm.market.place(model="forged")
    swarm.until(lambda: swarm.market.show(order).closed_at, "the order has ended")
    assert swarm.market.show(order).state is OrderState.FAILED
    [item] = receipts.results(swarm.market.app.uow(), order.id, swarm.market.buyer)
    assert item.error is not None
    assert "sha256" in item.error
    assert swarm.market.wallet().reserved_nano == 0
