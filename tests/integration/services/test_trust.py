"""Evidence on the real database: found once, kept as long as it is worth something, and scores that follow from it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import NotFound
from backend.domain.ids import AccountId, NodeId
from backend.domain.machines import TRUST_NEW_PPM
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.trust import HALF_LIFE, TRUST_KEPT, Evidence, TrustEvent, lower_bound_ppm
from backend.domain.work import AGENT_LOST_S, ATTEMPTS_MAX, CLAIM_S, ItemFailure
from backend.services import orders, settlement, sweeper, trust
from backend.storage.trust import Found
from tests.integration.services.clock import in_seconds
from tests.market import Market, Statements

ADMIN = Principal(None, AccountId(UUID(int=0)), Role.ADMIN)


def evidence(market: Market, node: NodeId) -> dict[Evidence, int]:
    """How much of each kind there is about a node."""
    with market.app.uow() as uow:
        events = uow.trust.histories([node], utc_now() - TRUST_KEPT)[node]
    found: dict[Evidence, int] = {}
    for event in events:
        found[event.kind] = found.get(event.kind, 0) + event.count
    return found


def scored(market: Market, node: NodeId) -> int:
    """A node's score after a turn of scores."""
    trust.rescore(market.app.uow(), utc_now())
    return trust.show_trust(market.app.uow(), utc_now(), node, ADMIN).standing.trust_ppm


def remember(market: Market, *found: Found, days_ago: float = 0) -> None:
    """Evidence as if it had been found."""
    with market.app.uow() as uow:
        uow.trust.record(found, utc_now() - timedelta(days=days_ago))
        uow.commit()


def rows(market: Market) -> int:
    """Rows of evidence in all."""
    with market.app.uow() as uow:
        return int(uow.connection.execute(text("SELECT count(*) FROM trust_events")).scalar_one())


def test_a_new_node_has_the_score_that_the_domain_gives_to_no_evidence(market: Market) -> None:
    node = market.node("a")
    before = trust.show_trust(market.app.uow(), utc_now(), node.id, ADMIN)
    assert before.standing.trust_ppm == TRUST_NEW_PPM == lower_bound_ppm([], utc_now())
    assert trust.rescore(market.app.uow(), utc_now()) == trust.Rescored(nodes=1, changed=0, after=None)


def test_a_node_that_serves_gains_trust_by_items_that_were_settled_and_only_once(market: Market) -> None:
    node = market.node("a", slots=4)
    executor = market.executor()
    market.place(4)
    market.clear()
    executor.commit(executor.claim(market.dispatched()))
    assert evidence(market, node.id) == {}
    market.settle()
    assert evidence(market, node.id) == {Evidence.SERVED: 4}
    market.settle()
    settlement.settle_finished(market.app.uow(), utc_now())
    assert evidence(market, node.id) == {Evidence.SERVED: 4}
    expected = lower_bound_ppm([TrustEvent(Evidence.SERVED, None, 4, utc_now())], utc_now())
    assert scored(market, node.id) == pytest.approx(expected, abs=5)
    assert expected > 10 * TRUST_NEW_PPM


def test_claims_that_run_out_cost_trust_once_each(market: Market) -> None:
    node = market.node("a", slots=2)
    executor = market.executor()
    market.place(2)
    market.clear()
    assert len(executor.claim(market.dispatched())) == 2
    later = in_seconds(CLAIM_S + 0.5)
    with market.app.uow() as uow:
        trust.lapsed(uow, later, uow.work.lapse(later, 10))
        trust.lapsed(uow, later, uow.work.lapse(later, 10))
        uow.commit()
    assert evidence(market, node.id) == {Evidence.LAPSED: 2}
    assert scored(market, node.id) < TRUST_NEW_PPM


def test_a_sweep_that_is_rolled_back_leaves_no_evidence_and_the_next_finds_it(market: Market) -> None:
    node = market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    assert len(executor.claim(market.dispatched())) == 1
    later = in_seconds(CLAIM_S + 0.5)
    with market.app.uow() as uow:
        trust.lapsed(uow, later, uow.work.lapse(later, 10))
    assert evidence(market, node.id) == {}
    sweeper.sweep(market.app.uow(), later)
    sweeper.sweep(market.app.uow(), later)
    found = evidence(market, node.id)
    assert sum(found.values()) == 1
    assert set(found) <= {Evidence.LAPSED, Evidence.LOST}


def test_a_node_that_falls_silent_with_work_on_it_loses_trust_once_for_each_order(market: Market) -> None:
    doomed = market.node("doomed", slots=2, pool="doomed")
    idle = market.node("idle", pool="idle", ask=50_000_000)
    executor = market.executor("doomed")
    market.executor("idle")
    market.place(2)
    market.clear()
    executor.database.agent_stop(executor.id)
    later = in_seconds(AGENT_LOST_S + 0.1)
    assert sweeper.sweep(market.app.uow(), later).moved_orders == 2
    sweeper.sweep(market.app.uow(), later)
    assert evidence(market, doomed.id) == {Evidence.LOST: 2}
    assert evidence(market, idle.id) == {}
    assert scored(market, doomed.id) < TRUST_NEW_PPM


def test_every_attempt_that_a_node_gives_back_with_an_error_is_evidence_and_a_stale_one_is_none(market: Market) -> None:
    node = market.node("a")
    executor = market.executor()
    market.place()
    market.clear()
    dispatches = market.dispatched()
    for _ in range(ATTEMPTS_MAX):
        [item] = executor.claim(dispatches)
        failure = ItemFailure(item.item_id, item.fence, "out of memory")
        assert executor.database.fail(executor.id, [failure]) == {item.item_id}
        assert executor.database.fail(executor.id, [failure]) == set()
    assert evidence(market, node.id) == {Evidence.FAILED: ATTEMPTS_MAX}
    with market.app.uow() as uow:
        assert uow.trust.found_since(utc_now() - timedelta(seconds=30), 10) == [node.id]
        assert uow.trust.found_since(utc_now() + timedelta(seconds=30), 10) == []
    assert scored(market, node.id) < TRUST_NEW_PPM


def test_ones_own_orders_say_nothing_about_ones_own_nodes(market: Market) -> None:
    rich = market.account("both", 100 * NANO_PER_CREDIT)
    market.provider = rich
    node = market.node("mine")
    market.buyer = rich
    executor = market.executor()
    [order] = market.place()
    market.clear()
    dispatches = market.dispatched()
    [item] = executor.claim(dispatches)
    executor.database.fail(executor.id, [ItemFailure(item.item_id, item.fence, "no")])
    executor.commit(executor.claim(dispatches))
    market.settle()
    assert market.show(order).state == "settled"
    assert evidence(market, node.id) == {}


def test_one_buyer_alone_cannot_push_a_good_node_below_85_percent(market: Market) -> None:
    node = market.node("good")
    content = [market.account(f"content-{number}").account_id for number in range(10)]
    remember(market, *(Found(node.id, buyer, Evidence.SERVED, 100) for buyer in content))
    assert scored(market, node.id) > 970_000
    angry = market.account("angry").account_id
    for kind in (Evidence.FAILED, Evidence.LAPSED, Evidence.LOST, Evidence.UPDATE_REJECTED):
        remember(market, Found(node.id, angry, kind, 100_000))
    assert 850_000 <= scored(market, node.id) < 860_000
    remember(market, Found(node.id, None, Evidence.CANARY_FAILED, 10))
    assert scored(market, node.id) < 400_000


def test_trust_fades_without_new_evidence_until_the_node_is_as_new_again(market: Market) -> None:
    node = market.node("a")
    remember(market, Found(node.id, market.buyer.account_id, Evidence.SERVED, 8))
    fresh = scored(market, node.id)
    assert trust.rescore(market.app.uow(), utc_now() + HALF_LIFE).changed == 1
    half = trust.show_trust(market.app.uow(), utc_now(), node.id, ADMIN).standing.trust_ppm
    assert TRUST_NEW_PPM < half < fresh
    assert half == pytest.approx(lower_bound_ppm([TrustEvent(Evidence.SERVED, None, 4, utc_now())], utc_now()), abs=5)
    assert not trust.tidy(market.app.uow(), utc_now() + TRUST_KEPT + timedelta(hours=1))
    assert rows(market) == 0
    trust.rescore(market.app.uow(), utc_now() + TRUST_KEPT)
    assert trust.show_trust(market.app.uow(), utc_now(), node.id, ADMIN).standing.trust_ppm == TRUST_NEW_PPM


def test_evidence_that_is_alike_becomes_one_row_and_no_score_changes_by_it(market: Market) -> None:
    node, other = market.node("a"), market.node("b")
    buyer = market.buyer.account_id
    for _ in range(5):
        remember(market, Found(node.id, buyer, Evidence.SERVED, 2), Found(other.id, buyer, Evidence.UPDATE_REJECTED, 1))
        remember(market, Found(node.id, buyer, Evidence.LAPSED, 1), days_ago=3)
        remember(market, Found(node.id, buyer, Evidence.LAPSED, 1), days_ago=3.001)
    before = scored(market, node.id), evidence(market, node.id), evidence(market, other.id)
    trust.tidy(market.app.uow(), utc_now())
    assert rows(market) == 20  # too young yet
    soon = in_seconds(600)
    trust.tidy(market.app.uow(), soon)
    trust.tidy(market.app.uow(), soon)
    assert 3 <= rows(market) <= 4  # one of each kind, and perhaps one over the end of an hour
    after = scored(market, node.id), evidence(market, node.id), evidence(market, other.id)
    assert after[1:] == before[1:] == ({Evidence.SERVED: 10, Evidence.LAPSED: 10}, {Evidence.UPDATE_REJECTED: 5})
    assert after[0] == pytest.approx(before[0], abs=20)


def test_scores_of_many_nodes_are_computed_in_turns_of_as_many_statements(market: Market) -> None:
    nodes = [market.node(f"n{number}", slots=2) for number in range(3)]
    used = []
    for node in nodes:
        remember(market, Found(node.id, market.buyer.account_id, Evidence.SERVED, 5))
        with Statements(market.app.engine) as statements:
            assert trust.rescore(market.app.uow(), utc_now()).changed >= 1
        used.append(statements.count)
    assert len(set(used)) == 1
    assert used[0] <= 5


def test_turns_go_through_all_nodes_and_begin_anew(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "AGED_NODES_MAX", 2)
    nodes = sorted(market.node(name).id for name in ("a", "b", "c"))
    first = trust.rescore(market.app.uow(), utc_now())
    assert (first.nodes, first.after) == (2, nodes[1])
    second = trust.rescore(market.app.uow(), utc_now(), first.after)
    assert (second.nodes, second.after) == (1, None)


def test_buyers_see_a_score_and_only_the_owner_sees_why(market: Market) -> None:
    node = market.node("a")
    remember(market, Found(node.id, market.buyer.account_id, Evidence.SERVED, 5))
    scored(market, node.id)

    def asked(principal: Principal) -> trust.TrustView:
        return trust.show_trust(market.app.uow(), utc_now(), node.id, principal)

    assert asked(market.buyer).explanation is None
    assert asked(market.buyer).standing.trust_ppm == asked(market.provider).standing.trust_ppm > TRUST_NEW_PPM
    for principal in (market.provider, ADMIN):
        explanation = asked(principal).explanation
        assert explanation is not None
        assert [(p.kind, p.buyer, p.count) for p in explanation.parts] == [(Evidence.SERVED, 1, 5)]
    with pytest.raises(NotFound):
        trust.show_trust(market.app.uow(), utc_now(), NodeId(UUID(int=1)), ADMIN)


def test_a_cancelled_order_says_nothing_about_its_node(market: Market) -> None:
    node = market.node("a")
    executor = market.executor()
    [order] = market.place()
    market.clear()
    executor.claim(market.dispatched())
    orders.cancel_order(market.app.uow(), utc_now(), order.id, market.buyer)
    sweeper.sweep(market.app.uow(), utc_now())
    market.settle()
    assert evidence(market, node.id) == {}


def test_evidence_is_kept_while_an_auction_has_the_nodes_locked(market: Market) -> None:
    node = market.node("a")
    with market.app.uow() as auction, market.app.uow() as settling:
        auction.connection.execute(text("SELECT 1 FROM nodes FOR UPDATE"))
        settling.connection.execute(text("SET LOCAL lock_timeout = '1s'"))
        assert settling.trust.record([Found(node.id, market.buyer.account_id, Evidence.SERVED, 1)], utc_now()) == 1


def test_two_that_tidy_at_once_lose_no_evidence(market: Market) -> None:
    node = market.node("a")
    for _ in range(50):
        remember(market, Found(node.id, market.buyer.account_id, Evidence.SERVED, 3))
    soon = in_seconds(600)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: trust.tidy(market.app.uow(), soon), range(8)))
    assert evidence(market, node.id) == {Evidence.SERVED: 150}
    assert rows(market) <= 2
