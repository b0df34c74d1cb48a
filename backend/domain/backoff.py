"""How long to wait after an error: longer each time, never in step with others, never longer than a bound."""

FIRST_S = 0.1
MAX_S = 5.0
DOUBLINGS_MAX = 16  # keeps the power small; the bound is reached long before


def delay_s(failures: int, jitter: float, first_s: float = FIRST_S, max_s: float = MAX_S) -> float:
    """Seconds until the next try after `failures` ≥ 1 in a row; `jitter` in [0, 1) takes up to half off."""
    full_s = min(max_s, first_s * 2.0 ** min(failures - 1, DOUBLINGS_MAX))
    return full_s * (1.0 - jitter / 2)
