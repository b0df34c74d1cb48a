"""How many statements more a step of the order path takes for 1,000 orders than for 10."""

from collections.abc import Iterator

from tests.market import Market, NodeStatements, Statements
from tests.performance.bench import Bench
from tests.performance.order_path import OrderPath
from tests.performance.rows import Row, Target

SIZES = (10, 100, 1_000)


def run(bench: Bench) -> Iterator[Row]:
    """Claim and commit are counted per unit, settlement per batch: what one call of each costs at most."""
    with bench.market() as market:
        path = OrderPath(market)
        counted = {}
        for size in SIZES:
            counted[size] = _count(market, path, size)
            bench.step()
    smallest = counted[SIZES[0]]
    worst = max(abs(counts[step] - smallest[step]) for counts in counted.values() for step in smallest)
    total = sum(smallest.values())
    yield Row(
        "statements_per_batch",
        worst,
        "statements more",
        f"statements for {SIZES[0]} orders",
        total,
        worst / total,
        Target("value", "≤", 0),
    )


def _count(market: Market, path: OrderPath, size: int) -> dict[str, int]:
    """Statements of each step for a batch of that size."""
    counts = dict.fromkeys(("place", "clear", "claim", "commit", "settle"), 0)
    path.beat()
    with Statements(market.app.engine) as statements:
        path.place(size)
    counts["place"] = statements.count
    with Statements(market.app.engine) as statements:
        path.clear()
    counts["clear"] = statements.count
    for dispatch in path.relay():
        with NodeStatements(market.node_database) as sent:
            items = path.claim(dispatch)
        counts["claim"] = max(counts["claim"], sent.count)
        with NodeStatements(market.node_database) as sent:
            path.commit(items)
        counts["commit"] = max(counts["commit"], sent.count)
    looked_at = 1
    while looked_at:
        with Statements(market.app.engine) as statements:
            looked_at = path.settle_once()
        counts["settle"] = max(counts["settle"], statements.count)
    assert all(counts.values()), counts
    return counts
