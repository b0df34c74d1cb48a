"""The limits of keys in this process: each request passes one line, and a line asks Redis for a block at a time."""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice
from types import TracebackType
from typing import Self

import structlog

from backend.domain.access import Principal
from backend.domain.errors import Unavailable
from backend.domain.ids import KeyId
from backend.domain.rates import DEFAULTS, Face, Limits
from backend.gateway.cache import Cache
from backend.gateway.changes import Changes
from backend.gateway.errors import RateLimited, code_of
from backend.gateway.limits import KEYS_MAX
from backend.gateway.rates.line import IN_FLIGHT, REQUESTS, TOKENS, WINDOW_S, Line
from backend.gateway.rates.permits import Asked, Buckets, Permits
from backend.gateway.threads import Threads

log = structlog.get_logger(__name__)

LINES_MAX = 10_000
SETTLE_S = 0.5  # what nobody used for so long goes back
SETTLED_MAX = 2_000  # lines in one trip: all of them well within the lease of their places
FORGOTTEN_S = 130.0  # a line that nobody used for so long has nothing left to remember

Headers = list[tuple[bytes, bytes]]
KeyLimits = Mapping[Face, Limits]


class Visit:
    """One request's passage: `enter` before it is served, `leave` after it, or `with` around it."""

    __slots__ = ("_entered", "_face", "_line", "_rates", "_told")

    def __init__(self, rates: "Rates", line: Line, face: Face) -> None:
        self._rates = rates
        self._line = line
        self._face = face
        self._entered = False
        self._told = REQUESTS  # the limit that the headers tell of

    async def enter(self, tokens: int) -> Self:
        """Let the request in, at a cost; raises RateLimited, or TooLarge for a cost above a minute's limit."""
        try:
            await self._line.enter(tokens)
        except RateLimited as error:
            self._told = TOKENS if error.field == TOKENS else REQUESTS
            self._rates.refused[self._face, str(error.field)] += 1
            raise
        self._entered = True
        self._rates.admitted[self._face] += 1
        return self

    def charge(self, tokens: int) -> None:
        """Take what the request turned out to cost beyond what it entered with, below 0: give it back."""
        if self._entered:
            self._line.charge(tokens)

    def leave(self) -> None:
        """The request is over; a second time changes nothing."""
        if self._entered:
            self._entered = False
            self._line.leave()

    def headers(self) -> Headers:
        """The RateLimit fields of draft-ietf-httpapi-ratelimit-headers-03, of requests or of what was refused."""
        limits, told = self._line.limits, self._told
        limit = limits.requests_per_minute if told == REQUESTS else limits.tokens_per_minute
        remaining = self._line.remaining(told)
        reset_s = -((remaining - limit) * WINDOW_S // limit)
        return [
            (b"ratelimit-limit", b"%d" % limit),
            (b"ratelimit-remaining", b"%d" % remaining),
            (b"ratelimit-reset", b"%d" % reset_s),
            (b"ratelimit-policy", self._line.policy),
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


class Rates:
    """Used in one event loop. `load` reads what was set for a key; a change of it is heard within POLL_S."""

    def __init__(
        self,
        load: Callable[[KeyId], KeyLimits],
        permits: Permits,
        threads: Threads,
        changes: Changes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self.permits = permits
        self._clock = clock
        self._limits: Cache[KeyId, KeyLimits] = Cache(threads, KEYS_MAX)
        self._lines: OrderedDict[tuple[object, Face], Line] = OrderedDict()
        self._holding: dict[tuple[object, Face], Line] = {}  # that may have something to give back
        self.admitted: dict[Face, int] = dict.fromkeys(Face, 0)
        self.refused: dict[tuple[Face, str], int] = {
            (face, field): 0 for face in Face for field in (REQUESTS, TOKENS, IN_FLIGHT)
        }
        changes.watch("rates", self._limits.clear)

    async def visit(self, principal: Principal, face: Face) -> Visit:
        """A passage for a request of that caller; raises Unavailable while the key's limits cannot be known."""
        key = principal.key_id
        limits = DEFAULTS[face] if key is None else (await self._limits.get(key, lambda: self._load(key)))[face]
        place = (key or principal.account_id, face)
        line = self._lines.get(place)
        if line is None:
            self._make_room()
            line = self._lines[place] = Line(f"{place[0]}.{face}", limits, self.permits, self._clock)
        elif line.limits != limits:
            line.change(limits)
        if not line.listed:
            line.listed = True
            self._holding[place] = line
        return Visit(self, line, face)

    async def run(self) -> None:
        """Settle until cancelled."""
        while True:
            await asyncio.sleep(SETTLE_S)
            try:
                await self.settle(self._clock() - SETTLE_S)
            except Exception as error:
                log.warning("rate_limits_unsettled", code=code_of(error))

    async def settle(self, used_since_s: float) -> None:
        """Give back what idle lines hold, renew what busy ones need, and forget those that nobody came to for long."""
        asked: dict[str, tuple[Asked, Buckets]] = {}
        for place in list(islice(self._holding, SETTLED_MAX)):
            line = self._holding.pop(place)
            self._lines.move_to_end(place)
            if (wish := line.settling(used_since_s)) is not None:
                asked[line.name] = wish, line.own
            line.listed = not line.empty_handed
            if line.listed:
                self._holding[place] = line  # behind those that wait for their turn
        if asked:
            await self.permits.settle(asked)
        self._forget()

    async def close(self) -> None:
        """Give everything back, as far as one trip can, and drop the connections; nobody may come any more."""
        await asyncio.gather(*(line.rest() for line in self._lines.values()))
        await self.settle(self._clock() + SETTLE_S)
        await self.permits.close()

    def _forget(self) -> None:
        long_ago_s = self._clock() - FORGOTTEN_S
        while self._lines:
            place, line = next(iter(self._lines.items()))
            if line.used_at >= long_ago_s or not (line.idle and line.empty_handed):
                return
            del self._lines[place]

    def _make_room(self) -> None:
        if len(self._lines) < LINES_MAX:
            return
        idle = next((place for place, line in self._lines.items() if line.idle), None)
        if idle is None:
            raise Unavailable("too many keys are in use at once", code="overloaded")
        del self._lines[idle]
        self._holding.pop(idle, None)


def process_name() -> str:
    """What tells this process from others that draw from the same buckets."""
    return secrets.token_hex(8)
