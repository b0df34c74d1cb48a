"""On which terms a real-time request is served: what its headers, or its metadata, say of tier, price and SLA."""

from collections.abc import Mapping
from dataclasses import dataclass

from backend.domain.errors import Invalid
from backend.domain.money import parse_credits
from backend.domain.orders import check_sla_offered
from backend.domain.tiers import TierName, parse_tier

SLA_WORDS = ("true", "false")


@dataclass(frozen=True, slots=True)
class Terms:
    """Which size of machine, at most at what price, with an SLA or without."""

    tier: TierName
    limit_nano_per_slot_s: int | None
    sla: bool


def read_terms(headers: Mapping[str, str]) -> Terms:
    """The terms in a request's headers (names in lower case), or the defaults; raises Invalid."""
    sla = _sla(headers)
    return Terms(_tier(headers, sla), _limit(headers), sla)


def _sla(headers: Mapping[str, str]) -> bool:
    word = headers.get("swarmex-sla", "false")
    if word not in SLA_WORDS:
        raise Invalid(
            "whether there is an SLA is true or false", code="invalid_sla", field="Swarmex-SLA", accepted="true, false"
        )
    return word == "true"


def _tier(headers: Mapping[str, str], sla: bool) -> TierName:
    tier = parse_tier(headers.get("swarmex-tier", TierName.MEDIUM))
    if sla:
        check_sla_offered(tier, "Swarmex-SLA")
    return tier


def _limit(headers: Mapping[str, str]) -> int | None:
    text = headers.get("swarmex-limit")
    return None if text is None else parse_credits(text, "Swarmex-Limit")
