"""The allowances of this process: opened on first use, drawn on in memory, raised before they are used up.

Nothing is asked of the database for a request, but for the first of a user and model, and where money runs short.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from backend.bootstrap import Swarmex, utc_now
from backend.domain.access import Spender
from backend.domain.allowances import Draw
from backend.domain.errors import BudgetExceeded, Conflict, InsufficientFunds, SwarmexError, Unavailable
from backend.domain.ids import GatewayId, OrderId
from backend.gateway.errors import code_of
from backend.gateway.leases.allowance import Allowance, AllowanceBook, AllowanceKey
from backend.gateway.leases.allowance_reports import Reports
from backend.gateway.limits import ALLOWANCES_MAX, DRAWS_MAX, REFUSED_FOR_S
from backend.gateway.threads import Threads
from backend.services import allowances as service

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why there was no money for a request of that cost, and until when it is not asked for again."""

    error: SwarmexError
    most_nano: int
    until_s: float


class Allowances:
    """At most one that is drawn on per (spender, model, version); everything here runs in one event loop."""

    def __init__(
        self,
        market: Swarmex,
        threads: Threads,
        gateway_id: GatewayId,
        pools: Callable[[], Collection[OrderId]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gateway_id = gateway_id
        self._market = market
        self._threads = threads
        self._clock = clock
        self._book = AllowanceBook()
        self._opening: dict[AllowanceKey, asyncio.Task[None]] = {}
        self._refusals: dict[AllowanceKey, _Refusal] = {}
        self.reports = Reports(market, threads, self.gateway_id, self._book, pools, clock)

    async def draw(
        self, spender: Spender, model: str, version: int, most_nano: int, price_nano_per_slot_s: int
    ) -> Draw:
        """Set aside what a request may cost at most, out of what is held; the caller settles or cancels it.

        Raises InsufficientFunds or BudgetExceeded if there is not so much left, Invalid(`above_tier_cap`), or
        Unavailable while the coordinator is silent.
        """
        key = AllowanceKey(spender, model, version)
        for _ in range(DRAWS_MAX):
            allowance = self._book.get(key)
            if allowance is None:
                self._require_hope(key, most_nano)
                await self._opened(key, most_nano, price_nano_per_slot_s)
            elif not self.reports.trusted:
                await self.reports.reassure()
            elif utc_now() >= allowance.until:
                self._book.retire(allowance)
            elif draw := self._drawn(allowance, most_nano):
                return draw
            else:
                self._require_hope(key, most_nano)
                await self._raised(allowance, most_nano)
        raise Unavailable("others were faster each time", code="allowance_busy")

    async def close(self) -> None:
        """Report and end all."""
        raising = [allowance.raising for allowance in self._book if allowance.raising]
        if under_way := [*self._opening.values(), *raising]:
            await asyncio.wait(under_way)  # each has its own time-out
        await self.reports.close()

    def _drawn(self, allowance: Allowance, most_nano: int) -> Draw | None:
        """What is held already; the next block is held beside what goes on, when half of the last one is gone."""
        draw = allowance.purse.draw(most_nano) if most_nano <= allowance.request_max_nano else None
        if draw:
            allowance.used_at = utc_now()
            if allowance.purse.is_low and not allowance.raising and not self._refused(allowance.key, most_nano):
                self._begin_raise(allowance, most_nano)
        return draw

    async def _opened(self, key: AllowanceKey, most_nano: int, price_nano_per_slot_s: int) -> None:
        """There is an allowance; who comes while it is being opened waits for the same one."""
        task = self._opening.get(key)
        if task is None:
            if len(self._book) + len(self._opening) >= ALLOWANCES_MAX:
                raise Unavailable(f"{ALLOWANCES_MAX} allowances are open", code="too_many_allowances")
            task = self._opening[key] = asyncio.create_task(self._open(key, most_nano, price_nano_per_slot_s))
            task.add_done_callback(lambda done: self._end_opening(key, done))
        await asyncio.shield(task)

    def _end_opening(self, key: AllowanceKey, done: "asyncio.Task[None]") -> None:
        del self._opening[key]
        if not done.cancelled():
            done.exception()  # read, in case all who waited have left

    async def _open(self, key: AllowanceKey, most_nano: int, price_nano_per_slot_s: int) -> None:
        asked_s = self._clock()
        try:
            granted = await self._threads.run(
                lambda: service.open_allowance(
                    self._market.uow(),
                    utc_now(),
                    self.gateway_id,
                    key.spender,
                    key.model,
                    key.version,
                    most_nano,
                    price_nano_per_slot_s,
                )
            )
        except (InsufficientFunds, BudgetExceeded) as error:
            self._refuse(key, most_nano, error)
            raise
        self.reports.heard(asked_s)
        self._book.add(Allowance.of(key, granted, utc_now()))
        log.info("allowance_opened", order_id=str(granted.order_id), held_nano=granted.held_nano)

    async def _raised(self, allowance: Allowance, most_nano: int) -> None:
        """The next block is held, or was asked for by another request and perhaps does for this one as well."""
        if allowance.raising:
            await asyncio.wait([allowance.raising])
        else:
            await asyncio.shield(self._begin_raise(allowance, most_nano))

    def _begin_raise(self, allowance: Allowance, most_nano: int) -> "asyncio.Task[None]":
        task = allowance.raising = asyncio.create_task(self._raise(allowance, most_nano))
        task.add_done_callback(lambda done: self._end_raise(allowance, done))
        return task

    def _end_raise(self, allowance: Allowance, done: "asyncio.Task[None]") -> None:
        allowance.raising = None
        if not done.cancelled() and isinstance(error := done.exception(), Exception):
            log.info("allowance_not_raised", order_id=str(allowance.purse.order_id), code=code_of(error))

    async def _raise(self, allowance: Allowance, most_nano: int) -> None:
        order_id = allowance.purse.order_id
        try:
            more = await self._threads.run(
                lambda: service.raise_allowance(self._market.uow(), utc_now(), self.gateway_id, order_id, most_nano)
            )
        except Conflict:  # used up, or ended elsewhere: the next request opens another
            self._book.retire(allowance)
        except (InsufficientFunds, BudgetExceeded) as error:
            self._refuse(allowance.key, most_nano, error)
            raise
        else:
            allowance.purse.raised(more.held_nano)
            allowance.request_max_nano = more.request_max_nano

    def _refuse(self, key: AllowanceKey, most_nano: int, error: SwarmexError) -> None:
        """Remember for a moment that there was no money: a flood of such requests is no flood of look-ups."""
        if len(self._refusals) >= ALLOWANCES_MAX:
            self._refusals.clear()
        self._refusals[key] = _Refusal(error.with_traceback(None), most_nano, self._clock() + REFUSED_FOR_S)

    def _refused(self, key: AllowanceKey, most_nano: int) -> SwarmexError | None:
        refusal = self._refusals.get(key)
        if refusal and self._clock() >= refusal.until_s:
            del self._refusals[key]
            return None
        return refusal.error if refusal and most_nano >= refusal.most_nano else None

    def _require_hope(self, key: AllowanceKey, most_nano: int) -> None:
        if refused := self._refused(key, most_nano):
            raise refused.with_traceback(None)
