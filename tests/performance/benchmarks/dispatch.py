"""Messages that the broker carries for 1,000 orders: one per unit of work, where one per item would be 1,000."""

from collections.abc import Iterator

from tests.performance.bench import Bench
from tests.performance.order_path import OrderPath
from tests.performance.rows import Row, Target

ORDERS = 1_000


def run(bench: Bench) -> Iterator[Row]:
    """Orders of one item each, for the nodes of one pool."""
    with bench.market() as market:
        path = OrderPath(market)
        path.place(ORDERS)
        path.clear()
        messages = 0
        while units := path.relay():
            messages += len(units)
        bench.step()
    yield Row(
        "dispatch",
        messages,
        f"messages per {ORDERS:,} orders",
        "with a message per item",
        ORDERS,
        messages / ORDERS,
        Target("ratio", "≤", 0.01),
    )
