"""Work of remote nodes over HTTP: found by polling, bound to the node, billed as that of any other."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from agents.engines.onnx import OnnxEngine
from agents.inference.claims import ClaimKeeper
from agents.inference.models import LoadedModels
from agents.inference.runner import UnitRunner
from agents.model_cache import ModelCache
from backend.api.node_polls import POLLS_PER_NODE_MAX, NodePolls
from backend.bootstrap import utc_now
from backend.domain.ids import ItemId, NodeId
from backend.domain.joining import CLAIM_BYTES_MAX, CLAIM_ITEMS_MAX, POLL_S_MAX
from backend.domain.orders import OrderState
from backend.domain.work import ItemFailure
from backend.services import accounts, audit, sweeper
from tests.integration.remote.nodes import Remote
from tests.onnx_files import request
from tests.waiting import PATIENCE_S


def test_a_remote_node_runs_what_it_polls_for_and_its_owner_earns(remote: Remote, tmp_path: Path) -> None:
    node, market = remote.join(), remote.market
    models = LoadedModels(ModelCache(tmp_path / "cache", node.port), OnnxEngine())
    claims = ClaimKeeper(node.port, every_s=0.2)
    [order] = market.place(requests=[request((1.0, 2.0))] * 5, workload="batch")
    market.clear()
    assert market.dispatched() == [], "the broker hears nothing of it"
    [unit] = node.poll()
    report = UnitRunner(node.port, models, claims).run(unit)
    assert (report.claimed, report.committed) == (5, 5)
    market.settle()
    shown = market.show(order)
    assert shown.state is OrderState.SETTLED
    earned = accounts.show_account(market.app.uow(), market.provider.account_id)
    assert earned.earnings_nano + earned.withheld_nano > 0
    assert audit.audit_ledger(market.app.uow()).ok
    assert node.poll() == []


def test_a_poll_that_waits_is_answered_when_work_comes(remote: Remote) -> None:
    node, market = remote.join(), remote.market
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.extend(node.poll(POLL_S_MAX)))
    waiting.start()
    market.place()
    market.clear()
    waiting.join(PATIENCE_S)
    assert len(found) == 1


def test_a_poll_without_work_ends_when_it_said(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    node = remote.join()
    asked: list[float] = []
    wait = NodePolls.wait

    async def noted(polls: NodePolls, node_id: NodeId, queue: str, timeout_s: float) -> None:
        asked.append(timeout_s)
        await wait(polls, node_id, queue, timeout_s)

    monkeypatch.setattr(NodePolls, "wait", noted)
    assert node.poll(0.3) == []
    assert asked == [0.3]


def test_a_node_has_so_many_polls_and_no_more(remote: Remote) -> None:
    node = remote.join()
    with ThreadPoolExecutor(POLLS_PER_NODE_MAX + 1) as threads:
        asked = [threads.submit(node.send, "poll", {"wait_s": POLL_S_MAX}) for _ in range(POLLS_PER_NODE_MAX + 1)]
        surplus = next(as_completed(asked, PATIENCE_S))
        assert surplus.result() == (429, "too_many_polls", None)
        remote.market.place()
        remote.market.clear()
        others = [one.result(PATIENCE_S) for one in asked if one is not surplus]
    assert others == [(200, None, None)] * POLLS_PER_NODE_MAX
    assert len(node.poll(0.01)) == 1, "places are free again"


def test_a_claim_whose_answer_was_lost_may_be_repeated(remote: Remote) -> None:
    node, market = remote.join(), remote.market
    market.place()
    market.clear()
    [unit] = node.poll()
    first, again = node.port.claim(unit), node.port.claim(unit)
    assert [(i.item_id, i.fence, i.attempt) for i in first] == [(i.item_id, i.fence, i.attempt) for i in again]
    assert len(node.commit(first)) == 1
    assert node.commit(first) == set(), "a second commit is void"
    assert node.port.claim(unit) == []


def test_one_message_carries_so_much_and_the_rest_comes_with_the_next(remote: Remote) -> None:
    node, market = remote.join(), remote.market
    market.place(requests=[request((1.0, 2.0))] * (CLAIM_ITEMS_MAX + 20), workload="batch")
    market.clear()
    [unit] = node.poll()
    first = node.port.claim(unit)
    assert len(first) == CLAIM_ITEMS_MAX
    assert node.poll() == [unit]
    node.commit(first)
    assert len(node.port.claim(unit)) == 20


def test_large_inputs_come_in_several_claims(remote: Remote) -> None:
    node, market = remote.join(), remote.market
    rows = [(float(i), 0.5) for i in range(40_000)]
    market.place(requests=[request(*rows)] * 4, workload="batch")
    market.clear()
    claimed = [item for unit in node.poll() for item in node.port.claim(unit)]
    assert 1 <= len(claimed) < 4
    assert sum(len(item.inputs) for item in claimed[:-1]) <= CLAIM_BYTES_MAX
    node.commit(claimed)
    assert node.poll()


def test_what_a_leaving_agent_hands_back_is_no_attempt_and_waits_again(remote: Remote) -> None:
    node, market = remote.join(), remote.market
    market.place()
    market.clear()
    items = node.claim()
    assert node.port.release([(item.item_id, item.fence) for item in items]) == {items[0].item_id}
    [again] = node.claim()
    assert (again.attempt, again.fence) == (1, items[0].fence + 1)


def test_a_failed_item_waits_to_be_polled_for_again(remote: Remote) -> None:
    node, market = remote.join(), remote.market
    market.place()
    market.clear()
    [item] = node.claim()
    assert node.port.fail([ItemFailure(item.item_id, item.fence, "no")]) == {item.item_id}
    sweeper.sweep(market.app.uow(), utc_now())
    assert market.dispatched() == []
    [again] = node.claim()
    assert again.attempt == 2


def test_work_of_a_node_that_fell_silent_goes_to_another(remote: Remote) -> None:
    silent, market = remote.join("silent"), remote.market
    [order] = market.place(deadline_s=600)
    market.clear()
    [item] = silent.claim()
    later = utc_now() + timedelta(seconds=10)
    other = remote.join("other")
    with market.app.engine.begin() as connection:
        connection.execute(
            text("UPDATE agents SET beat_at = :later WHERE id = :id"), {"later": later, "id": other.agent_id}
        )
    sweeper.sweep(market.app.uow(), later)
    market.clear(later)
    [taken] = other.claim()
    assert (taken.item_id, taken.node_id) == (item.item_id, other.id)
    assert silent.commit([item]) == set()
    assert other.commit([taken]) == {item.item_id}
    market.settle()
    assert market.show(order).state is OrderState.SETTLED


def test_resending_never_sends_a_remote_unit_to_the_broker(remote: Remote, redis_url: str) -> None:
    node, market = remote.join(), remote.market
    market.place(deadline_s=600)
    market.clear()
    now = utc_now()
    for seconds in (6, 60, 300):
        node.beat()
        sweeper.sweep(market.app.uow(), now + timedelta(seconds=2))
        with market.app.engine.begin() as connection:
            connection.execute(text("UPDATE units SET resend_at = now() - interval '1 s'"))
        assert market.dispatched() == [], seconds
    assert len(node.claim()) == 1


def test_an_agent_that_leaves_is_known_to_have_left(remote: Remote) -> None:
    node = remote.join()
    node.port.stopped(node.agent_id)
    assert node.beat(), "who has stopped is told to drain"
    remote.market.place(deadline_s=600)
    assert not node.claim()


def test_commit_and_extend_of_unknown_items_count_nothing(remote: Remote) -> None:
    node = remote.join()
    assert node.port.extend([(ItemId(node.agent_id), 1)]) == set()
