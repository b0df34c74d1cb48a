"""The spot price of a market: bounded multiplicative control on utilisation. A quote and a reserve, never a cap."""

from dataclasses import dataclass

from backend.domain.money import NANO_PER_CREDIT, PPM, round_up

TARGET_UTILISATION_PPM = 700_000
STEP_MAX_PPM = 125_000  # at most 12.5% an epoch
EPOCH_S = 5
FLOOR_NANO = 1_000
CAP_NANO = 1_000 * NANO_PER_CREDIT
OPENING_NANO = 2_000_000  # 0.002 credits per slot-second, before a market has an ask to learn from


@dataclass(frozen=True, slots=True, order=True)
class Market:
    """A resource class in a region."""

    resource_class: str
    region: str

    def __str__(self) -> str:
        return f"{self.resource_class}/{self.region}"

    @staticmethod
    def parse(text: str) -> "Market":
        """The inverse of `str`."""
        resource_class, _, region = text.partition("/")
        return Market(resource_class, region)


@dataclass(frozen=True, slots=True)
class Supply:
    """What a market has: slots of living nodes, how many of them are leased, and its lowest open ask if any."""

    slots: int
    busy_slots: int
    lowest_ask_nano: int | None

    @property
    def utilisation_ppm(self) -> int:
        """Share of slots that are leased, in parts per million."""
        return self.busy_slots * PPM // self.slots if self.slots else 0


def next_spot(spot_nano: int | None, supply: Supply) -> int:
    """The next epoch's price in nano-credits per slot-second: up above the target utilisation, down below it.

    A market's first price is its lowest ask. The price never falls below that ask while the market has one (nobody
    would sell there), stands still without a living node, never moves more than STEP_MAX_PPM an epoch, and stays
    within [FLOOR_NANO, CAP_NANO].
    """
    if spot_nano is None:
        return _clip(supply.lowest_ask_nano or OPENING_NANO, FLOOR_NANO, CAP_NANO)
    if supply.slots == 0:
        return spot_nano  # nothing to learn from until a node is back
    over_ppm = supply.utilisation_ppm - TARGET_UTILISATION_PPM
    span_ppm = PPM - TARGET_UTILISATION_PPM if over_ppm > 0 else TARGET_UTILISATION_PPM
    wanted = spot_nano + spot_nano * STEP_MAX_PPM * over_ppm // (span_ppm * PPM)
    wanted = max(wanted, supply.lowest_ask_nano or 0)
    low = round_up(spot_nano * (PPM - STEP_MAX_PPM), PPM)
    high = spot_nano * (PPM + STEP_MAX_PPM) // PPM
    return _clip(_clip(wanted, low, high), FLOOR_NANO, CAP_NANO)


def _clip(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
