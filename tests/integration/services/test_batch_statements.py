"""A step with a batch costs the same number of statements however many requests it is about."""

from pathlib import Path

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.services import settlement
from backend.services.batch_collecting import COLLECT_MAX
from backend.services.batch_placing import PLACE_MAX
from tests.integration.services.batching import Batching, lines
from tests.market import Market, NodeStatements, Statements

SIZES = (5, 50)  # lines of a chunk
LIMITS = {"validate": 6, "place": 28, "claim": 1, "commit": 1, "settle": 15, "collect": 10 + COLLECT_MAX, "finish": 9}


def counted(market: Market, folder: Path, size: int) -> dict[str, int]:
    """Statements of each step with a batch of PLACE_MAX chunks of that size."""
    batching = Batching(market, folder)
    executor, counts = market.executor(), dict.fromkeys(LIMITS, 0)
    name = batching.submit(lines(PLACE_MAX * size))

    def step(what: str) -> None:
        with Statements(market.app.engine) as statements:
            batching.step(name)
        counts[what] = statements.count

    step("validate")
    step("place")
    executor.beat()
    market.clear()
    for dispatch in market.dispatched():
        with NodeStatements(market.node_database) as sent:
            items = executor.claim([dispatch])
        counts["claim"] = max(counts["claim"], sent.count)
        with NodeStatements(market.node_database) as sent:
            assert executor.commit(items)
        counts["commit"] = max(counts["commit"], sent.count)
    with Statements(market.app.engine) as statements:
        settlement.settle_finished(market.app.uow(), utc_now())
    counts["settle"] = statements.count
    step("collect")
    step("finish")
    assert batching.show(name).batch.completed == PLACE_MAX * size
    return counts


def test_each_step_of_a_batch_takes_as_many_statements_for_few_requests_as_for_many(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.node("a", slots=2 * PLACE_MAX)
    seen = {}
    for size in SIZES:
        monkeypatch.setattr("backend.services.batch_lines.ITEMS_PER_ORDER_MAX", size)
        seen[size] = counted(market, tmp_path, size)
    few, many = (seen[size] for size in SIZES)
    assert few == many
    assert all(few[step] <= limit for step, limit in LIMITS.items()), few


def test_what_executors_ask_for_is_found_by_index_whatever_a_session_planned_for_when_there_was_little(
    market: Market,
) -> None:
    with market.app.engine.connect() as connection:
        planned = connection.execute(
            text("SELECT proname FROM pg_proc WHERE proname LIKE 'work_%' AND 'enable_seqscan=off' = ANY(proconfig)")
        )
        assert {"work_beat", "work_claim", "work_commit"} <= set(planned.scalars())
