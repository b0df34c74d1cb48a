"""Money: integer nano-credits (1 credit = 10⁹), decimal strings on the wire, and the one function that rounds."""

import re
from decimal import Decimal

from backend.domain.errors import Invalid

NANO_PER_CREDIT = 1_000_000_000
AMOUNT_NANO_MAX = 10**18  # a billion credits: far above any budget, and sums of a few still fit a BIGINT
PPM = 1_000_000
US_PER_S = 1_000_000

_DECIMAL = re.compile(r"\d{1,10}(\.\d{1,9})?", re.ASCII)
_ACCEPTED = "a decimal string of credits with at most 9 decimals, from {least} to 1000000000, as in 1.5"


def parse_credits(text: object, field: str = "amount", *, zero: bool = False) -> int:
    """Nano-credits of a decimal string of credits; raises Invalid(`invalid_amount`) for anything else."""
    if isinstance(text, str) and _DECIMAL.fullmatch(text):
        nano = int(Decimal(text).scaleb(9))
        if (0 if zero else 1) <= nano <= AMOUNT_NANO_MAX:
            return nano
    accepted = _ACCEPTED.format(least="0" if zero else "0.000000001")
    raise Invalid(f"{field} is not an amount", code="invalid_amount", field=field, accepted=accepted)


def format_credits(nano: int) -> str:
    """The decimal string of an amount in nano-credits, always with nine decimals."""
    sign = "-" if nano < 0 else ""
    whole, rest = divmod(abs(nano), NANO_PER_CREDIT)
    return f"{sign}{whole}.{rest:09d}"


def round_up(numerator: int, denominator: int) -> int:
    """⌈numerator / denominator⌉ in exact integers: charges round up to the nano, and nothing else rounds."""
    return -(-numerator // denominator)


def charge_nano(price_nano_per_slot_s: int, busy_us: int) -> int:
    """What `busy_us` microseconds of one slot cost at a price per slot-second."""
    return round_up(price_nano_per_slot_s * busy_us, US_PER_S)


def fee_nano(charge: int, fee_ppm: int) -> int:
    """The market's share of a charge; rounded up, so that charge − fee never pays out more than was charged."""
    return round_up(charge * fee_ppm, PPM)
