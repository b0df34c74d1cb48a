"""What this process tells of its allowances: once a second, the same again until it is answered."""

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Sequence

import structlog

from backend.bootstrap import Swarmex, utc_now
from backend.domain.allowances import GATEWAY_TRUSTED_S, REPORT_S, Report, Verdict
from backend.domain.ids import GatewayId, OrderId
from backend.gateway.errors import code_of
from backend.gateway.leases.allowance import Allowance, AllowanceBook
from backend.gateway.threads import Threads
from backend.services import allowance_reports, allowances
from backend.services.allowance_reports import REPORTS_MAX

ROLL_CALL_TURNS = 10  # reports between two
CLOSING_TRIES_MAX = 10
CLOSING_WAIT_S = 0.05  # between two: somebody else may work on the same orders

log = structlog.get_logger(__name__)


class Reports:
    """The sign of life of a process with allowances, or with pooled leases (`pools`), and what it used of them."""

    def __init__(
        self,
        market: Swarmex,
        threads: Threads,
        gateway_id: GatewayId,
        book: AllowanceBook,
        pools: Callable[[], Collection[OrderId]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._market = market
        self._threads = threads
        self._gateway_id = gateway_id
        self._book = book
        self._pools = pools
        self._clock = clock
        self._heard_s: float | None = None  # when what was last answered had been asked
        self._turn = asyncio.Lock()

    @property
    def trusted(self) -> bool:
        """Whether the coordinator answered lately; else it may have given back what is held."""
        return self._heard_s is not None and self._clock() - self._heard_s <= GATEWAY_TRUSTED_S

    def heard(self, asked_s: float) -> None:
        """The coordinator answered something that was asked at that time of the clock, and knows that we live."""
        self._heard_s = max(asked_s, self._heard_s or asked_s)

    async def run(self) -> None:
        """Report until cancelled."""
        for turn in itertools.count(1):
            await asyncio.sleep(REPORT_S)
            try:
                await self.tell()
                if turn % ROLL_CALL_TURNS == 0:
                    await self.call_roll()
            except Exception as error:  # the same reports are sent again, and are charged once
                log.warning("allowances_not_reported", code=code_of(error))

    async def tell(self) -> None:
        """Report what was used; retire what nobody uses, and all of it after too long a silence."""
        async with self._turn:
            await self._tell()

    async def reassure(self) -> None:
        """Report if the coordinator has not answered lately; of many who ask for it at once, the first does."""
        async with self._turn:
            if not self.trusted:
                await self._tell()

    async def call_roll(self) -> None:
        """Let end what the coordinator believes this process has, and it has not."""
        held = [*(allowance.purse.order_id for allowance in self._book), *self._pools()]
        if held:
            await self._threads.run(lambda: allowances.roll_call(self._market.uow(), utc_now(), self._gateway_id, held))

    async def close(self) -> None:
        """Report and end all: what is still under way is given up, and costs nobody anything."""
        async with self._turn:
            self._book.retire_all()
            for attempt in range(CLOSING_TRIES_MAX):  # what was sent and not answered, then the last
                if not (due := self._book.due(closing=True)):
                    return
                await asyncio.sleep(CLOSING_WAIT_S if attempt else 0)
                await self._send(due)

    async def _tell(self) -> None:
        if not self.trusted:
            self._book.retire_all()
        self._book.retire_over(utc_now())
        if self._book or self._pools():
            await self._send(self._book.due())

    async def _send(self, due: dict[Report, Allowance]) -> None:
        reports = list(due)
        for start in range(0, max(1, len(reports)), REPORTS_MAX):
            page = reports[start : start + REPORTS_MAX]
            verdicts = await self._ask(page)
            for one in page:
                self._judged(one, due[one], verdicts[one.order_id])

    async def _ask(self, page: Sequence[Report]) -> dict[OrderId, Verdict]:
        asked_s = self._clock()
        verdicts = await self._threads.run(
            lambda: allowance_reports.report(self._market.uow(), utc_now(), self._gateway_id, page)
        )
        self.heard(asked_s)
        return verdicts

    def _judged(self, one: Report, allowance: Allowance, verdict: Verdict) -> None:
        if verdict is Verdict.LATER:
            return
        allowance.purse.answered(one)
        if verdict is Verdict.ENDED:
            log.warning("allowance_ended_elsewhere", order_id=str(one.order_id), unpaid_nano=one.paid_nano)
        if verdict is Verdict.ENDED or one.last:
            self._book.drop(allowance)
