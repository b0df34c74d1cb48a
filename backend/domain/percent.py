"""Shares in parts per million, as people read and write them: percentages with at most four decimals."""

import re
from decimal import Decimal

PPM_PER_PERCENT = 10_000

_PERCENT = re.compile(r"\d{1,3}(\.\d{1,4})?", re.ASCII)


def read_percent(text: str, ppm_max: int) -> int | None:
    """Parts per million of a decimal percentage; None for what is none, or is more than the most."""
    if not _PERCENT.fullmatch(text):
        return None
    ppm = int(Decimal(text) * PPM_PER_PERCENT)
    return ppm if ppm <= ppm_max else None


def format_percent(ppm: int) -> str:
    """A share as people write it: 3.5 for 35,000 ppm."""
    return f"{Decimal(ppm) / PPM_PER_PERCENT:f}"
