"""The order path in one process, step by step: placed, cleared, relayed, claimed, committed, settled."""

from collections.abc import Callable, Sequence

from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.ids import AgentId, UnitId
from backend.domain.work import ClaimedItem, Dispatch
from backend.services import allocation, orders, relay, settlement
from backend.services.orders import PlacedBatch
from tests.market import Market

Send = Callable[[Sequence[Dispatch]], None]
Execute = Callable[[UnitId], object]


class OrderPath:
    """One batch at a time through the real services; the executor's part is the test's own, as quick as can be."""

    def __init__(self, market: Market, send: Send | None = None, pool: str = "pool") -> None:
        self._market = market
        self._send = send
        self._executor = market.executor(pool)

    @property
    def executor_id(self) -> AgentId:
        """The agent that the pool's nodes live by."""
        return self._executor.id

    def run(self, size: int, execute: Execute | None = None) -> None:
        """Take a batch of orders the whole way; `execute` runs a unit instead of `claim` and `commit`."""
        self.place(size)
        self.clear()
        for dispatch in self.relay():
            if execute:
                execute(dispatch.unit_id)
            else:
                self.commit(self.claim(dispatch))
        self.settle()

    def beat(self) -> None:
        """Keep the nodes alive for the next seconds."""
        self._executor.beat()

    def place(self, size: int) -> PlacedBatch:
        """Place as many equal orders, in one transaction."""
        requests = [self._market.request()] * size
        return orders.place_orders(self._market.app.uow(), utc_now(), self._market.buyer, requests)

    def clear(self) -> None:
        """One epoch of every market."""
        allocation.clear_markets(self._market.app.uow, utc_now())

    def relay(self) -> list[Dispatch]:
        """Send what is owed to the broker; returns the messages."""
        sent: list[Dispatch] = []

        def send(units: Sequence[Dispatch]) -> None:
            if self._send:
                self._send(units)
            sent.extend(units)

        relay.relay(self._market.app.uow(), utc_now(), send)
        return sent

    def claim(self, dispatch: Dispatch) -> list[ClaimedItem]:
        """Claim a unit's items."""
        return self._executor.claim([dispatch])

    def commit(self, items: Sequence[ClaimedItem]) -> None:
        """Commit results for them."""
        self._executor.commit(items)

    def settle_once(self) -> int:
        """One settlement batch; returns how many orders were looked at."""
        return settlement.settle_finished(self._market.app.uow(), utc_now())

    def settle(self) -> None:
        """Settle whatever ran."""
        while self.settle_once():
            pass

    def settled(self) -> int:
        """How many orders have been settled so far."""
        with self._market.app.engine.connect() as connection:
            counted = connection.execute(text("SELECT count(*) FROM orders WHERE state = 'settled'"))
            return int(counted.scalar_one())
