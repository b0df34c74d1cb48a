"""The spot price of a market: bounded multiplicative control on utilisation. A quote and a reserve, never a cap."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from backend.domain.money import NANO_PER_CREDIT, PPM, round_up

TARGET_UTILISATION_PPM = 700_000
STEP_MAX_PPM = 125_000  # at most 12.5% an epoch
EPOCH_S = 5
FLOOR_NANO = 1_000
CAP_NANO = 1_000 * NANO_PER_CREDIT
PRICE_POINTS_KEPT = timedelta(days=30)
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
    """What a market has: slots of living nodes, how many of them are leased, and its lowest open ask if any.

    `waiting_slots` is what open orders that pay the spot price and need no special node ask for: slots that would be
    leased if there were any.
    """

    slots: int
    busy_slots: int
    lowest_ask_nano: int | None
    waiting_slots: int = 0

    @property
    def utilisation_ppm(self) -> int:
        """Share of slots that are leased, in parts per million."""
        return self.busy_slots * PPM // self.slots if self.slots else 0

    @property
    def unmet(self) -> bool:
        """Whether orders would still wait with every slot busy."""
        return self.waiting_slots > 0 and self.busy_slots + self.waiting_slots > self.slots

    @property
    def pressure_ppm(self) -> int:
        """Share of slots that are leased or about to be, in parts per million: what the price follows."""
        wanted = max(self.busy_slots, min(self.slots, self.busy_slots + self.waiting_slots))
        return wanted * PPM // self.slots if self.slots else 0


@dataclass(frozen=True, slots=True)
class Control:
    """What a market's price is held to: bounds in nano-credits per slot-second, and the utilisation that it seeks."""

    floor_nano: int = FLOOR_NANO
    cap_nano: int = CAP_NANO
    target_ppm: int = TARGET_UTILISATION_PPM


DEFAULT_CONTROL = Control()


class Cause(StrEnum):
    """Why a price is what it is after an epoch."""

    OPENED = "opened"
    ABOVE_TARGET = "above_target"
    BELOW_TARGET = "below_target"
    DEMAND_UNMET = "demand_unmet"
    HELD_AT_ASK = "held_at_ask"
    RAISED_TO_ASK = "raised_to_ask"
    AT_FLOOR = "at_floor"
    AT_CAP = "at_cap"
    NO_NODES = "no_nodes"
    STEADY = "steady"

    @property
    def told(self) -> str:
        """The cause as everybody may hear it: asks are sealed, so that a price is held or rises, and not to what."""
        return {Cause.HELD_AT_ASK: "held", Cause.RAISED_TO_ASK: "rising"}.get(self, self.value)


@dataclass(frozen=True, slots=True)
class Move:
    """The next epoch's price in nano-credits per slot-second, and what moved or held it."""

    spot_nano: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class PricePoint:
    """A market's price as one epoch set it, and what it followed."""

    market: Market
    at: datetime
    spot_nano_per_slot_s: int
    utilisation_ppm: int
    slots: int
    busy_slots: int
    cause: Cause


def next_move(spot_nano: int | None, supply: Supply, control: Control = DEFAULT_CONTROL) -> Move:
    """The next epoch's price: up above the target utilisation, down below it, up by the whole step on unmet demand.

    A market's first price is its lowest ask. The price never falls below that ask while the market has one (nobody
    would sell there), stands still without a living node, and never moves more than STEP_MAX_PPM an epoch; the bounds
    of its control come before all of these, so that new ones hold from the next epoch on.
    """
    if spot_nano is None:
        return Move(_clip(supply.lowest_ask_nano or OPENING_NANO, control.floor_nano, control.cap_nano), Cause.OPENED)
    if supply.slots == 0:  # nothing to learn from until a node is back
        return Move(_clip(spot_nano, control.floor_nano, control.cap_nano), Cause.NO_NODES)
    over_ppm = supply.pressure_ppm - control.target_ppm
    span_ppm = PPM - control.target_ppm if over_ppm > 0 else control.target_ppm
    followed = spot_nano + spot_nano * STEP_MAX_PPM * over_ppm // (span_ppm * PPM)
    low = round_up(spot_nano * (PPM - STEP_MAX_PPM), PPM)
    high = spot_nano * (PPM + STEP_MAX_PPM) // PPM
    wanted = _clip(max(followed, supply.lowest_ask_nano or 0), low, high)
    bounded = _clip(wanted, control.floor_nano, control.cap_nano)
    return Move(bounded, _cause(spot_nano, _clip(followed, low, high), wanted, bounded, supply.unmet))


def next_spot(spot_nano: int | None, supply: Supply, control: Control = DEFAULT_CONTROL) -> int:
    """The price alone of `next_move`, in nano-credits per slot-second."""
    return next_move(spot_nano, supply, control).spot_nano


def _cause(spot_nano: int, followed: int, wanted: int, bounded: int, unmet: bool) -> Cause:
    """What decided: the bounds before the ask, and both before demand."""
    if bounded != wanted:
        return Cause.AT_FLOOR if bounded > wanted else Cause.AT_CAP
    if wanted > max(spot_nano, followed):
        return Cause.RAISED_TO_ASK
    if wanted != followed and wanted == spot_nano:
        return Cause.HELD_AT_ASK
    if unmet:
        return Cause.DEMAND_UNMET
    if followed == spot_nano:
        return Cause.STEADY
    return Cause.ABOVE_TARGET if followed > spot_nano else Cause.BELOW_TARGET


def _clip(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
