"""What a minute's limit lets through: a bucket that holds at most a minute's permits and fills evenly.

It is the leaky bucket as a meter (Turner 1986, "New directions in communications"), in other words the GCRA of ITU-T
I.371 with a burst of one minute: in any span of t minutes at most (1 + t) × the limit passes. The gateways' Lua script
(`gateway/permits.lua`) does the same sums in Redis; a test holds both equal.
"""

from dataclasses import dataclass

PARTS = 60_000  # parts of a permit: a limit of one a minute brings one part a millisecond, so all sums are whole
BLOCKS_PER_LIMIT = 100  # a block is at most a hundredth of a minute's limit …
BLOCK_MAX = 1_000
SHARE = 10  # … and at most a tenth of what the bucket holds: near its bottom permits go one by one
SLOT_SHARE = 8  # of the free places for requests, a process may keep an eighth more than it needs


@dataclass(frozen=True, slots=True)
class Bucket:
    """How full a bucket was at a moment; below 0 after more was charged than it held, by one minute's limit at most."""

    level: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A wish for permits: `need` for all who wait, `least` for the easiest of them; `returned` is given back first.

    What was charged beyond what was drawn is a negative `returned`. Without a need nothing is drawn.
    """

    per_minute: int
    need: int = 0
    least: int = 1
    returned: int = 0


@dataclass(frozen=True, slots=True)
class Drawn:
    """Permits that left the bucket, how many it has yet, and in how many ms it has `least` where the need was unmet."""

    granted: int
    left: int
    wait_ms: int


def block(per_minute: int) -> int:
    """Permits that one draw may take beyond what is needed: few enough that idle ones are not missed elsewhere."""
    return min(BLOCK_MAX, per_minute // BLOCKS_PER_LIMIT)


def draw(bucket: Bucket | None, ask: Ask, now_ms: int) -> tuple[Bucket, Drawn]:
    """The bucket after a draw, and what it gave; a bucket that nobody remembers (None) is full."""
    full = ask.per_minute * PARTS
    level = full
    if bucket is not None:
        level = bucket.level + max(0, now_ms - bucket.at_ms) * ask.per_minute
    level = max(-full, min(full, level + ask.returned * PARTS))
    whole, granted, wait_ms = level // PARTS, 0, 0
    if ask.need > 0:
        if whole >= ask.least:
            granted = min(whole, max(ask.need, min(block(ask.per_minute), whole // SHARE)))
        level -= granted * PARTS
        if granted < ask.need:
            wait_ms = max(1, -((level - ask.least * PARTS) // ask.per_minute))
    at_ms = now_ms if bucket is None else max(now_ms, bucket.at_ms)  # clocks that are set back give nothing twice
    return Bucket(level, at_ms), Drawn(granted, level // PARTS, wait_ms)


def places(limit: int, others: int, need: int) -> int:
    """How many requests a process may have under way that needs so many places, of which others hold some."""
    free = max(0, limit - others)
    if need <= 0 or free <= need:
        return max(0, min(free, need))
    return need + (free - need) // SLOT_SHARE
