"""One key on one face, in one process: a block of permits, and who waits for the next."""

import asyncio
import time
from collections.abc import Callable

from backend.domain.buckets import PARTS, Ask, Drawn, block
from backend.domain.errors import TooLarge
from backend.domain.rates import Limits
from backend.gateway.errors import RateLimited
from backend.gateway.rates.permits import Asked, Buckets, Granted, Permits, now_ms

DRAWS_MAX = 8  # of one request that others are quicker than
REFUSED_FOR_S = 0.01  # after an empty bucket at least: so often at most it is asked again
FULL_FOR_S = 0.02  # the same after all places were taken
WINDOW_S = 60
AHEAD = 4  # a new block is drawn when a quarter of one is left

REQUESTS, TOKENS, IN_FLIGHT = "requests_per_minute", "tokens_per_minute", "in_flight"


class Line:
    """Used in one event loop; `enter` and `leave` stand around each request."""

    def __init__(
        self, name: str, limits: Limits, permits: Permits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._keep_to(limits)
        self.under_way = 0
        self.used_at = clock()
        self.requests_left = 0  # of the block in hand; below 0 it was charged more than it held
        self.tokens_left = 0
        self.own = Buckets()
        self.listed = False  # among those that have something to settle
        self._places = 0
        self._permits = permits
        self._clock = clock
        self._waiting: list[int] = []  # what each of them costs
        self._drawing: asyncio.Task[None] | None = None
        self._empty_until_s = 0.0
        self._short: tuple[int, float] = (0, 0.0)  # from which cost on there are no tokens, and until when
        self._full_until_s = 0.0

    @property
    def idle(self) -> bool:
        """Whether nobody is in it or waits to be let in."""
        return not (self.under_way or self._waiting)

    @property
    def empty_handed(self) -> bool:
        """Whether it holds nothing that is missed elsewhere, and owes nothing."""
        return not (self.requests_left or self.tokens_left or self._places or self._drawing)

    async def enter(self, tokens: int) -> None:
        """Let a request in that costs so many tokens; raises RateLimited, or TooLarge for one that never can be.

        Whoever enters must leave.
        """
        if tokens > self.limits.tokens_per_minute:
            raise TooLarge(
                f"the request costs {tokens} tokens",
                code="tokens_above_limit",
                field=TOKENS,
                accepted=f"at most {self.limits.tokens_per_minute} tokens",
            )
        self.used_at = self._clock()
        for _ in range(DRAWS_MAX):
            if self._fits(tokens):
                self.requests_left -= 1
                self.tokens_left -= tokens
                self.under_way += 1
                self._draw_ahead()
                return
            self._refuse_known(tokens)
            await self._draw(tokens)
        raise self._refusal(REQUESTS, self.limits.requests_per_minute, 1, self.requests_left)

    def leave(self) -> None:
        """A request that was let in is over."""
        self.under_way -= 1
        self.used_at = self._clock()

    def charge(self, tokens: int) -> None:
        """Take tokens that a request turned out to cost beyond what it entered with, also more than there are."""
        self.tokens_left -= tokens

    async def rest(self) -> None:
        """Return when no draw is under way."""
        if self._drawing is not None:
            await asyncio.wait({self._drawing})

    def change(self, limits: Limits) -> None:
        """Keep to other limits from now on; what is left of the block lapses."""
        self._keep_to(limits)
        self.requests_left = 0
        self.tokens_left = min(0, self.tokens_left)
        self._places = 0
        self._empty_until_s = self._full_until_s = 0.0
        self._short = (0, 0.0)

    def remaining(self, field: str = REQUESTS) -> int:
        """How many more there are at the moment, as far as this process knows."""
        bucket, in_hand = (
            (self.own.requests, self.requests_left) if field == REQUESTS else (self.own.tokens, self.tokens_left)
        )
        limit: int = getattr(self.limits, field)
        if bucket is None:
            return limit
        level = bucket.level + (now_ms() - bucket.at_ms) * limit
        return max(0, min(limit, level // PARTS + in_hand))

    def settling(self, used_since_s: float) -> Asked | None:
        """What goes back when nobody has used the line since then, or the renewal of its places; None: nothing."""
        if self._drawing is not None:
            return None  # its trip renews as well
        idle = self.used_at < used_since_s
        requests = self.requests_left if idle else min(0, self.requests_left)
        tokens = self.tokens_left if idle else min(0, self.tokens_left)
        if not (requests or tokens or self._places):
            return None
        self.requests_left -= requests
        self.tokens_left -= tokens
        self._places = self.under_way if idle else max(self.under_way, (self._places + self.under_way) // 2)
        self._full_until_s = 0.0  # an old word, of when there was more under way
        limits = self.limits
        return Asked(
            limits,
            Ask(limits.requests_per_minute, returned=requests),
            Ask(limits.tokens_per_minute, returned=tokens),
            self._places,
        )

    def _keep_to(self, limits: Limits) -> None:
        self.limits = limits
        self.policy = b'%d;w=%d, %d;w=%d;comment="tokens"' % (
            *(limits.requests_per_minute, WINDOW_S),
            *(limits.tokens_per_minute, WINDOW_S),
        )
        self._requests_low = block(limits.requests_per_minute) // AHEAD
        self._tokens_low = block(limits.tokens_per_minute) // AHEAD

    def _fits(self, tokens: int) -> bool:
        return self.requests_left >= 1 and self.tokens_left >= tokens and self.under_way < self._places

    def _refuse_known(self, tokens: int) -> None:
        """Raise RateLimited without a trip where the answer is known."""
        now_s = self._clock()
        if self.requests_left < 1 and now_s < self._empty_until_s:
            raise self._refusal(REQUESTS, self.limits.requests_per_minute, 1, self.requests_left)
        if self.tokens_left < tokens and tokens >= self._short[0] and now_s < self._short[1]:
            raise self._refusal(TOKENS, self.limits.tokens_per_minute, tokens, self.tokens_left)
        if self.under_way >= self._places and now_s < self._full_until_s:
            raise RateLimited(IN_FLIGHT, self.limits.in_flight, 0.0)

    def _refusal(self, field: str, limit: int, cost: int, left: int) -> RateLimited:
        missing = cost - max(left, self.remaining(field))
        return RateLimited(field, limit, max(0, missing) * 60 / limit)

    async def _draw(self, tokens: int) -> None:
        """Wait for a draw that counts this request, or for one under way that may do."""
        self._waiting.append(tokens)
        try:
            await asyncio.shield(self._drawing or self._begin())
        finally:
            self._waiting.remove(tokens)

    def _draw_ahead(self) -> None:
        """Draw the next block before this one is used up, so that nobody waits for it."""
        low = 0 < self.requests_left < self._requests_low or 0 < self.tokens_left < self._tokens_low
        if low and self._drawing is None:
            now_s = self._clock()
            if now_s >= self._empty_until_s and now_s >= self._short[1]:
                self._begin()

    def _begin(self) -> asyncio.Task[None]:
        task = self._drawing = asyncio.create_task(self._drawn())
        task.add_done_callback(self._over)
        return task

    @staticmethod
    def _over(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # read, in case all who waited have left

    async def _drawn(self) -> None:
        try:
            await self._draw_block()
        finally:
            self._drawing = (
                None  # not by a callback: who came before it would wait for what is over, and not wait at all
            )

    async def _draw_block(self) -> None:
        limits, costs = self.limits, list(self._waiting)
        asked = Asked(
            limits,
            _ask(limits.requests_per_minute, len(costs), 1, self.requests_left),
            _ask(limits.tokens_per_minute, sum(costs), min(costs, default=0), self.tokens_left),
            self.under_way + len(costs),
        )
        granted = await self._permits.draw(self.name, asked, self.own)
        if limits is self.limits:
            self._take(granted, asked)

    def _take(self, granted: Granted, asked: Asked) -> None:
        now_s = self._clock()
        self.requests_left += granted.requests.granted - asked.requests.returned
        self.tokens_left += granted.tokens.granted - asked.tokens.returned
        self._places = granted.places
        if granted.requests.wait_ms:
            self._empty_until_s = now_s + _wait_s(granted.requests)
        if granted.tokens.wait_ms:
            self._short = (self.tokens_left + asked.tokens.least, now_s + _wait_s(granted.tokens))
        if granted.places < asked.places:
            self._full_until_s = now_s + FULL_FOR_S


def _ask(per_minute: int, cost: int, least: int, left: int) -> Ask:
    """A wish that covers the cost of all who wait, and another block when little is left; debts are paid with it."""
    need = max(0, cost - max(0, left))
    if left < max(1, block(per_minute) // AHEAD):
        need = max(1, need)
    return Ask(per_minute, need, max(1, min(need, least - max(0, left))), min(0, left))


def _wait_s(drawn: Drawn) -> float:
    return max(REFUSED_FOR_S, drawn.wait_ms / 1_000)
