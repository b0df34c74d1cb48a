"""Batches as OpenAI clients know them: states, how long one may take, and what its metadata asks of the market."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from backend.domain.errors import Invalid
from backend.domain.money import parse_credits
from backend.domain.orders import Strategy
from backend.domain.tiers import TierName, parse_tier
from backend.domain.webhooks import check_webhook

PREFIX = "batch_"
ENDPOINT = "/v2/models"  # any of its models; or the one route that all lines name
BATCH_REQUESTS_MAX = 50_000
BATCHES_OPEN_MAX = 50  # of one account, not ended
WINDOW_S_MIN, WINDOW_S_MAX = 60, 86_400
METADATA_MAX, METADATA_KEY_CHARS_MAX, METADATA_VALUE_CHARS_MAX = 16, 64, 512
OWN = "swarmex_"
SLOTS_DEFAULT = 1

_WINDOW = re.compile(r"(\d{1,5})([hms])", re.ASCII)
_UNIT_S = {"h": 3_600, "m": 60, "s": 1}


class BatchState(StrEnum):
    """validating → in_progress → finalizing → completed or expired; or failed; or cancelling → cancelled."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


FINAL = (BatchState.FAILED, BatchState.COMPLETED, BatchState.EXPIRED, BatchState.CANCELLED)


class ChunkState(StrEnum):
    """waiting → placed (it has its order) → collected; refused: its lines fail, collected or not placed at all."""

    WAITING = "waiting"
    PLACED = "placed"
    REFUSED = "refused"
    COLLECTED = "collected"


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What a batch asks of the market; amounts in nano-credits, the budget for all of it."""

    tier: str = TierName.MEDIUM
    priority: str = Strategy.COST
    slots: int = SLOTS_DEFAULT
    max_budget_nano: int | None = None
    limit_nano: int | None = None
    region: str | None = None


def parse_window(text: str) -> int:
    """Seconds of a completion window like `24h`, `90m` or `600s`; raises Invalid."""
    match = _WINDOW.fullmatch(text)
    seconds = int(match[1]) * _UNIT_S[match[2]] if match else 0
    if not WINDOW_S_MIN <= seconds <= WINDOW_S_MAX:
        raise Invalid(
            "a batch cannot be promised for that window",
            code="invalid_completion_window",
            field="completion_window",
            accepted="24h, or a shorter time like 1h, 30m or 90s, one minute at least",
        )
    return seconds


def check_metadata(metadata: object) -> dict[str, str]:
    """Metadata as OpenAI allows it: up to 16 texts; raises Invalid."""
    if metadata is None:
        return {}
    if isinstance(metadata, Mapping) and len(metadata) <= METADATA_MAX and all(map(_is_pair, metadata.items())):
        return dict(metadata)
    raise Invalid(
        "the metadata cannot be kept",
        code="invalid_metadata",
        field="metadata",
        accepted=f"up to {METADATA_MAX} texts of up to {METADATA_VALUE_CHARS_MAX} characters,"
        f" names of up to {METADATA_KEY_CHARS_MAX}",
    )


def _is_pair(pair: tuple[object, object]) -> bool:
    key, value = pair
    return (
        isinstance(key, str)
        and isinstance(value, str)
        and 1 <= len(key) <= METADATA_KEY_CHARS_MAX
        and len(value) <= METADATA_VALUE_CHARS_MAX
        and "\x00" not in key + value
    )


def read_options(metadata: Mapping[str, str]) -> tuple[BatchOptions, str | None]:
    """What metadata named `swarmex_…` asks for, and the webhook in it; raises Invalid naming the entry."""
    own = {key.removeprefix(OWN): value for key, value in metadata.items() if key.startswith(OWN)}
    known = ("tier", "priority", "slots", "max_budget", "limit", "region", "webhook")
    for name in own:
        if name not in known:
            raise _invalid(f"{OWN}{name}", "is not an option of batches", ", ".join(OWN + key for key in known))
    webhook = own.get("webhook")
    return BatchOptions(
        tier=parse_tier(own.get("tier", TierName.MEDIUM)),
        priority=_priority(own.get("priority", Strategy.COST)),
        slots=_slots(own.get("slots", str(SLOTS_DEFAULT))),
        max_budget_nano=_amount(own, "max_budget"),
        limit_nano=_amount(own, "limit"),
        region=own.get("region"),
    ), None if webhook is None else check_webhook(webhook, f"metadata.{OWN}webhook")


def _priority(word: str) -> str:
    if word not in [strategy.value for strategy in Strategy]:
        raise _invalid(f"{OWN}priority", "is not known", ", ".join(Strategy))
    return word


def _slots(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) >= 1):
        raise _invalid(f"{OWN}slots", "is no number of slots", "1 or more, as the tier allows")
    return int(text)


def _amount(own: Mapping[str, str], name: str) -> int | None:
    return parse_credits(own[name], f"metadata.{OWN}{name}") if name in own else None


def _invalid(name: str, why: str, accepted: str) -> Invalid:
    return Invalid(f"{name} {why}", code="invalid_metadata", field=f"metadata.{name}", accepted=accepted)
