"""Machines of others record nothing that reaches the operator: what they say of their time is told for them."""

from collections.abc import Iterator

import pytest

from backend.messaging.tracing import CURRENT, TraceContext
from tests.integration.remote.machines import INFER, Serving, bring, fetch, right
from tests.integration.remote.machines import body as row
from tests.integration.remote.nodes import Remote
from tests.integration.tracing.recorded import THEIRS, recorded, tree
from tests.otlp_collector import Collector

BUSY_NS = 7_000  # as `right` says


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Where the spans of this process arrive."""
    with recorded(monkeypatch) as found:
        yield found


def test_what_a_machine_says_of_its_time_is_told_for_it(collector: Collector, remote: Remote) -> None:
    with Serving(remote) as served:
        node = remote.join()
        asked = served._pool.submit(lambda: served.user.post(INFER, json=row(), headers=THEIRS))
        bring(node, *(right(one) for one in fetch(node)))
        assert asked.result().status_code == 200
        found = tree(collector, "node.infer", "node.run")
    ran, around = found["node.run"], found["node.infer"]
    assert (ran.parent_id, ran.ended_ns - ran.started_ns >= BUSY_NS) == (around.span_id, True)
    assert around.started_ns <= ran.started_ns <= ran.ended_ns <= around.ended_ns


def test_work_that_a_machine_commits_belongs_to_the_orders_trace(collector: Collector, remote: Remote) -> None:
    node = remote.join(slots=4)
    token = CURRENT.set(TraceContext.parse(THEIRS["traceparent"]))
    remote.market.place(2)
    CURRENT.reset(token)
    remote.market.clear()
    items = node.claim()
    assert len(items) == 2
    assert len(node.commit(items)) == 2
    found = tree(collector, "work.run")
    assert found["work.run"].attributes == {"swarmex.node": str(node.id), "swarmex.items": 2}
    assert found["work.run"].ended_ns > found["work.run"].started_ns
