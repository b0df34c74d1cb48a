"""A buyer who spends at random, through the services, at moments of the test's choosing."""

import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.allowances import Report, used_of
from backend.domain.errors import InsufficientFunds
from backend.domain.ids import TransferId
from backend.domain.leases import WINDOW_S
from backend.domain.money import charge_nano
from backend.domain.orders import CloseReason
from backend.services import corrections, credits, metering, meters, pools, rating, sessions, settlement, withholding
from tests.integration.services.earning import ADMIN, DEAR, fill_fund
from tests.integration.services.pooling import allow, gateway_id, tell
from tests.market import Market

ODD_PRICE = 1_234_567  # nano-credits


class NothingCharged(Exception):
    """There is no charge yet to correct."""


class Spree:
    """Orders, sessions, metered usage, corrections, refunds and service credits between two moments."""

    def __init__(self, market: Market, seed: int, start: datetime, end: datetime) -> None:
        self.market = market
        self.random = random.Random(seed)
        self.start, self.end = start, end
        fill_fund(market, 50 * 10**9)
        for name in ("a", "b"):
            market.node(name, slots=8, ask=DEAR if name == "a" else DEAR // 3 + 7, pool=name)
        for name, unit in (("storage", "GB-hours"), ("egress", "GB")):
            payee = market.provider.account_id if name == "storage" else None
            meters.add_meter(market.app.uow(), start, ADMIN, name, unit, ODD_PRICE, payee)

    def moment(self) -> datetime:
        """A moment in between, to the microsecond."""
        return self.start + timedelta(
            microseconds=self.random.randrange((self.end - self.start) // timedelta.resolution)
        )

    def moments(self, count: int) -> Sequence[datetime]:
        return sorted(self.moment() for _ in range(count))

    def orders(self, count: int) -> None:
        """Orders of one to three requests that ran now, settled in parts at moments in between."""
        executors = [self.market.executor(pool) for pool in ("a", "b")]
        for when in self.moments(count):
            tier = self.random.choice(["small", "medium"])
            size = self.random.randint(1, 3)
            self.market.place(workload="batch", tier=tier, requests=[self.market.request().requests[0]] * size)
            for executor in executors:
                executor.beat()
            self.market.clear()
            dispatches = self.market.dispatched()
            items = [(executor, executor.claim(dispatches)) for executor in executors]
            for executor, claimed in items:
                executor.commit(claimed[:1], busy_us=self.random.randint(1, 9))
            settlement.settle_finished(self.market.app.uow(), when)
            for executor, claimed in items:
                executor.commit(claimed[1:], busy_us=self.random.randint(1, 9))
            settlement.settle_finished(self.market.app.uow(), self.moment())

    def sessions(self, count: int) -> None:
        """Sessions that lasted a while, settled at moments in between."""
        market = self.market
        for when in self.moments(count):
            market.executor("a")
            market.executor("b")
            opened = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
            market.clear()
            session = sessions.progress(market.app.uow(), utc_now(), opened).lease
            assert session is not None
            over = session.granted_at + timedelta(microseconds=self.random.randint(1, WINDOW_S * 10**4))
            sessions.end(market.app.uow(), over, session.lease_id, CloseReason.SESSION_IDLE)
            sessions.settle_windows(market.app.uow(), when)

    def pooled(self, count: int) -> None:
        """Requests of tier small on a pooled lease, out of allowances, reported at two moments in between."""
        market, gateway = self.market, gateway_id()
        market.executor("a")
        market.executor("b")
        opened = pools.open_pool(market.app.uow(), utc_now(), gateway, "doubling")
        market.clear()
        lease = pools.pool_progress(market.app.uow(), utc_now(), opened).lease
        assert lease is not None
        price, earns = lease.price_nano_per_slot_s, lease.earns_nano_per_slot_s
        for moments in (self.moments(2) for _ in range(count)):
            granted = allow(market, gateway, nano=charge_nano(price, 9))
            for seq, when in enumerate(moments, 1):
                used = used_of(lease.lease_id, price, earns, 9, 9, self.random.randint(1, 9))
                tell(market, gateway, Report(granted.order_id, seq, (used,), last=seq == len(moments)), now=when)

    def usage(self, count: int) -> None:
        """Metered usage of two meters, one of a provider and one of the market."""
        for number, when in enumerate(self.moments(count)):
            [outcome] = metering.ingest(self.market.app.uow(), when, ADMIN, [self._event(number)])
            assert outcome.refusal is None, outcome

    def rate_anew(self) -> None:
        """Another price for usage since the beginning, set at the end."""
        meters.set_price(self.market.app.uow(), self.end, ADMIN, "egress", ODD_PRICE - 89, self.start)

    def _event(self, number: int) -> dict[str, object]:
        return {
            "specversion": "1.0",
            "source": "/spree",
            "id": str(number),
            "type": self.random.choice(["storage", "egress"]),
            "subject": str(self.market.buyer.account_id),
            "data": {"quantity": f"{self.random.randint(1, 5_000)}.{self.random.randint(0, 999_999):06d}"},
        }

    def corrections(self, count: int) -> None:
        """Reversals, replaced charges, refunds and service credits.

        Left out are those that the payee cannot pay, and those of a moment before which nothing was charged.
        """
        made = 0
        for when in self.moments(count):
            do = self.random.choice([self._reverse, self._replace, self._refund, self._credit, self._take_back])
            with suppress(InsufficientFunds, NothingCharged):
                do(when)
                made += 1
        assert made > count // 3

    def _charge(self, before: datetime) -> tuple[TransferId, int]:
        """A charge of an order that was made before a moment and stands; raises NothingCharged."""
        with self.market.app.engine.connect() as connection:
            rows = connection.execute(
                text(
                    "SELECT id, amount_nano FROM transfers t WHERE kind = 'charge' AND order_id IS NOT NULL"
                    " AND created_at < :before"
                    " AND created_at >= :start AND NOT EXISTS (SELECT 1 FROM transfers WHERE original_id = t.id)"
                    " ORDER BY id"
                ),
                {"before": before, "start": self.start},
            ).all()
        if not rows:
            raise NothingCharged
        row = self.random.choice(rows)
        return TransferId(row.id), row.amount_nano

    def _reverse(self, when: datetime) -> None:
        charge, _ = self._charge(when)
        corrections.reverse(self.market.app.uow(), when, ADMIN, charge, "contested", with_fee=True)

    def _replace(self, when: datetime) -> None:
        charge, nano = self._charge(when)
        if nano > 1:
            less = self.random.randrange(1, nano)
            corrections.replace_charge(self.market.app.uow(), when, ADMIN, charge, less, "too dear")

    def _take_back(self, when: datetime) -> None:
        received = metering.list_usage(self.market.app.uow(), self.market.buyer.account_id, state="charged")
        usage = self.random.choice([usage for usage in received if usage.received_at < when] or [None])
        if usage:
            rating.take_back(self.market.app.uow(), when, ADMIN, usage.id, "counted wrong")

    def _refund(self, when: datetime) -> None:
        nano = self.random.randint(1, 10**8)
        credits.refund(self.market.app.uow(), when, ADMIN, self.market.buyer.account_id, nano, "sorry")

    def _credit(self, when: datetime) -> None:
        buyer, provider = self.market.buyer.account_id, self.market.provider.account_id
        with self.market.app.uow() as uow:
            withholding.sla_credit(uow, when, buyer, provider, self.random.randint(1, 10**7), f"sla {when}")
            uow.commit()
