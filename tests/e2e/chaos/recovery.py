"""How long a fault was felt, from what the database recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds after the first fault, for one scenario.

    `standstill_s` is the longest time in which no order ended, `again_s` when the last item that had been cut off
    began to run again (None: none was), and `all_s` when the last order had ended.
    """

    fault: str
    orders: int
    failed: int
    standstill_s: float
    again_s: float | None
    all_s: float

    def __str__(self) -> str:
        again = "none was cut off" if self.again_s is None else f"cut off work ran again within {self.again_s:.1f} s"
        return (
            f"{self.fault}: {self.orders} orders, {self.failed} failed with a reason;"
            f" stood still {self.standstill_s:.1f} s at most, {again}, all ended after {self.all_s:.1f} s"
        )


def recovery(
    fault: str, struck_at: datetime, closed: Sequence[datetime], failed: int, reclaimed: Sequence[datetime]
) -> Recovery:
    """`closed` are the ends of all orders, `reclaimed` the claims of items that were not the item's first."""
    after = sorted(moment for moment in closed if moment > struck_at)
    standstill_s = max((seconds(one, next_) for one, next_ in pairwise([struck_at, *after])), default=0.0)
    again = [seconds(struck_at, moment) for moment in reclaimed if moment > struck_at]
    all_s = seconds(struck_at, after[-1]) if after else 0.0
    return Recovery(fault, len(closed), failed, standstill_s, max(again, default=None), all_s)


def seconds(earlier: datetime, later: datetime) -> float:
    """From one moment to another."""
    return (later - earlier).total_seconds()
