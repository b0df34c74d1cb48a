"""Which lease of a line serves a request, and what a line makes of nodes that fail."""

from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from random import Random

import pytest

from backend.domain.errors import Conflict
from backend.domain.leases import WINDOW_S
from backend.gateway.errors import Busy
from backend.gateway.leases.session import Session
from backend.gateway.limits import (
    EJECTION_S,
    GROW_AFTER_S,
    LEASES_PER_LINE_MAX,
    LOST_NODE_S,
    OUTLIER_FAILURES,
    OUTLIER_INTERVAL_S,
    OUTLIER_VOLUME_MIN,
    SESSION_IN_FLIGHT_MAX,
)
from backend.gateway.routing.line import Line
from tests.unit.gateway.leased import KEY, PRICE_NANO, START, session

NOW_S = 1_000.0


class Lined(Line):
    """A line of three with breakers in the test's own hands."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        super().__init__(KEY, lambda endpoint: endpoint in self.open, Random(1))
        for name in ("first", "second", "third"):
            self.add(session(name))
        self.awake = 3

    def chosen(self, now_s: float = NOW_S, limit: int | None = None) -> Session:
        found = self.choose(limit, START, now_s)
        assert found is not None
        return found

    def names(self, count: int = 300, now_s: float = NOW_S) -> Counter[str]:
        """Who is chosen so many times, while a request is under way on each."""
        with ExitStack() as stack:
            for one in self.sessions:
                one.target.served(0.01, now_s)
                for _ in range(3):
                    stack.enter_context(one.target.asked(now_s))
            return Counter(self.chosen(now_s).node_name for _ in range(count))


@pytest.fixture
def line() -> Lined:
    return Lined()


def test_all_that_are_awake_are_used(line: Lined) -> None:
    assert len(line.names()) == 3


def test_without_much_demand_only_the_warmest_is_used_and_the_others_rest(line: Lined) -> None:
    line.tick(NOW_S)
    assert {line.chosen().node_name for _ in range(50)} == {"first"}


def test_when_there_is_less_to_do_the_slowest_rests(line: Lined) -> None:
    for one, latency_s in zip(line.sessions, (0.5, 0.1, 0.3), strict=True):
        one.target.served(latency_s, NOW_S)
    line.tick(NOW_S)
    assert [one.node_name for one in line.sessions] == ["second", "third", "first"]


def test_a_node_whose_breaker_is_open_is_passed_over_and_left_out_for_a_while(line: Lined) -> None:
    line.open.add("http://second:1")
    assert line.names().keys() == {"first", "third"}
    line.open.clear()
    assert line.names(now_s=NOW_S + EJECTION_S - 1).keys() == {"first", "third"}
    assert line.names(now_s=NOW_S + EJECTION_S).keys() == {"first", "second", "third"}


def test_when_every_breaker_is_open_one_is_asked_all_the_same_to_be_told_when_to_come_back(line: Lined) -> None:
    line.open |= {one.endpoint for one in line.sessions}
    assert line.chosen() in line.sessions
    assert line.wants_another(NOW_S)


def test_failures_in_a_row_leave_a_node_out_but_never_more_than_half(line: Lined) -> None:
    for name in ("first", "second"):
        failing = next(one for one in line.sessions if one.node_name == name)
        for _ in range(OUTLIER_FAILURES):
            failing.target.failed(0.01, NOW_S)
            line.failed(failing, NOW_S, by_node=True)
    assert [one.node_name for one in line.sessions if one.target.health.ejected(NOW_S)] == ["first"]
    assert line.wants_another(NOW_S), "the second can only be replaced by somebody new"
    assert line.sessions[0].node_name == "third", "the others are colder by now"


def test_of_few_requests_the_next_goes_past_a_node_that_has_just_failed_or_is_busy(line: Lined) -> None:
    line.tick(NOW_S)
    line.failed(line.chosen(), NOW_S, by_node=False)
    assert line.chosen().node_name == "first", "the request may have been bad"
    line.failed(line.chosen(), NOW_S, by_node=True)
    assert line.chosen().node_name == "second"
    line.busy(line.chosen())
    assert line.chosen().node_name == "third"
    assert line.wants_another(NOW_S)


def test_an_answer_that_the_request_brought_about_buys_no_lease(line: Lined) -> None:
    line.sessions = line.sessions[:1]
    for _ in range(2 * OUTLIER_FAILURES):
        line.sessions[0].target.failed(0.01, NOW_S)
        line.failed(line.sessions[0], NOW_S, by_node=False)
    assert not line.wants_another(NOW_S)
    line.failed(line.sessions[0], NOW_S, by_node=True)
    assert line.wants_another(NOW_S)


def test_failures_that_come_in_while_a_node_is_left_out_do_not_prolong_that(line: Lined) -> None:
    failing = line.sessions[0]
    for _ in range(5 * OUTLIER_FAILURES):
        failing.target.failed(0.01, NOW_S)
        line.failed(failing, NOW_S, by_node=True)
    assert failing.target.health.ejections == 1


def test_a_node_that_stands_out_at_the_end_of_an_interval_is_left_out(line: Lined) -> None:
    line.tick(NOW_S)
    for one in line.sessions:
        for _ in range(OUTLIER_VOLUME_MIN):
            one.target.served(2.0 if one.node_name == "third" else 0.01, NOW_S)
    line.tick(NOW_S + OUTLIER_INTERVAL_S - 0.1)
    assert not any(one.target.health.ejections for one in line.sessions)
    line.tick(NOW_S + OUTLIER_INTERVAL_S)
    assert [one.target.health.ejections for one in line.sessions] == [0, 0, 1]


def test_full_leases_are_passed_over_and_when_all_are_full_the_request_is_refused(line: Lined) -> None:
    with ExitStack() as stack:
        for one in line.sessions[:2]:
            for _ in range(SESSION_IN_FLIGHT_MAX):
                stack.enter_context(one.place())
                stack.enter_context(one.target.asked(NOW_S))
        assert {line.chosen().node_name for _ in range(20)} == {"third"}
        for _ in range(SESSION_IN_FLIGHT_MAX):
            stack.enter_context(line.sessions[2].place())
        with pytest.raises(Busy):
            line.chosen()
        assert line.wants_another(NOW_S + GROW_AFTER_S), "that many requests are a reason to grow"
    assert line.in_flight == 0


def test_a_limit_is_held_by_every_lease_that_is_chosen(line: Lined) -> None:
    line.add(session("dear", 2 * PRICE_NANO))
    assert "dear" not in {line.chosen(limit=PRICE_NANO).node_name for _ in range(50)}
    with pytest.raises(Conflict) as refused:
        line.chosen(limit=PRICE_NANO - 1)
    assert "0.001000000" in str(refused.value.accepted)


def test_only_leases_that_are_paid_and_not_tried_yet_are_chosen(line: Lined) -> None:
    line.sessions[0].window_ends_at = START
    tried = {line.sessions[1].node_id}
    assert line.choose(None, START, NOW_S, tried) is line.sessions[2]
    assert line.choose(None, START, NOW_S, {*tried, line.sessions[2].node_id}) is None
    assert line.choose(None, START + timedelta(seconds=WINDOW_S), NOW_S) is None


def test_a_line_has_so_many_leases_at_most(line: Lined) -> None:
    line.growth.fall_short()
    while len(line.sessions) < LEASES_PER_LINE_MAX:
        assert line.wants_another(NOW_S)
        line.add(session(f"n{len(line.sessions)}"))
    assert not line.wants_another(NOW_S)


def test_a_line_does_not_grow_onto_its_own_nodes_nor_onto_one_that_it_has_just_lost(line: Lined) -> None:
    lost = line.sessions[0]
    line.lose(lost, NOW_S)
    assert line.drop(lost)
    assert not line.drop(lost)
    kept = {one.node_id for one in line.sessions}
    assert line.avoided(NOW_S + LOST_NODE_S - 1) == kept | {lost.node_id}
    assert line.avoided(NOW_S + LOST_NODE_S) == kept
