"""How much a key may ask for: requests and tokens a minute, and requests at once, on each face by itself.

A key has what its face gives everybody, unless the operator set something else for it; its owner may set less.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from backend.domain.errors import Invalid, shown

PER_MINUTE_MAX = 1_000_000_000
AT_ONCE_MAX = 100_000
BYTES_PER_TOKEN = 4_096  # of a body that has no tokens of its own, a tensor or a document

_RANGES = {"requests_per_minute": PER_MINUTE_MAX, "tokens_per_minute": PER_MINUTE_MAX, "in_flight": AT_ONCE_MAX}


class Face(StrEnum):
    """What is limited by itself: the market's API, and real-time requests of each tier."""

    API = "api"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    ENTERPRISE = "enterprise"


class SetBy(StrEnum):
    """Who set limits of a key."""

    OPERATOR = "operator"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts for a key on a face."""

    requests_per_minute: int
    tokens_per_minute: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """Limits of one key, set by the operator or by its owner; None leaves a limit as it is without."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    in_flight: int | None = None

    def given(self) -> dict[str, int]:
        """What is limited, by its field."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


NONE = OwnLimits()

# A buyer of real-time capacity pays for its time, so these protect the gateways, not the nodes.
DEFAULTS: Mapping[Face, Limits] = {
    Face.API: Limits(requests_per_minute=120_000, tokens_per_minute=6_000_000, in_flight=256),
    Face.SMALL: Limits(requests_per_minute=6_000, tokens_per_minute=600_000, in_flight=16),
    Face.MEDIUM: Limits(requests_per_minute=300_000, tokens_per_minute=12_000_000, in_flight=256),
    Face.LARGE: Limits(requests_per_minute=600_000, tokens_per_minute=48_000_000, in_flight=512),
    Face.ENTERPRISE: Limits(requests_per_minute=1_200_000, tokens_per_minute=192_000_000, in_flight=1_024),
}


def effective(face: Face, operator: OwnLimits = NONE, owner: OwnLimits = NONE) -> Limits:
    """What counts on a face: the operator's word in place of the default, and never more than the owner's."""
    default = DEFAULTS[face]
    base = {f.name: getattr(default, f.name) for f in fields(default)} | operator.given()
    return Limits(**{name: min(value, owner.given().get(name, value)) for name, value in base.items()})


def ceilings(operator: OwnLimits) -> dict[str, int]:
    """What an owner may set at most: the operator's word, or the most that any face gives."""
    return {name: max(getattr(effective(face, operator), name) for face in Face) for name in _RANGES}


def check_own(wish: OwnLimits, ceiling: Mapping[str, int] | None = None) -> OwnLimits:
    """`wish` if it can be; raises Invalid(`invalid_<field>`), or Invalid(`no_limit_given`) when it limits nothing.

    A `ceiling` is what only the operator may go above.
    """
    if not wish.given():
        raise Invalid("no limit is given", code="no_limit_given", field="limits", accepted=", ".join(_RANGES))
    for name, value in wish.given().items():
        most = _RANGES[name] if ceiling is None else ceiling[name]
        if type(value) is not int or not 1 <= value <= most:
            more = "" if ceiling is None else "; an admin may set more"
            raise Invalid(
                f"{name} {shown(value)} is out of range",
                code=f"invalid_{name}",
                field=name,
                accepted=f"1 to {most}{more}",
            )
    return wish


def body_tokens(size_bytes: int) -> int:
    """What a body of that size costs in tokens: 1 for each BYTES_PER_TOKEN that it begins, and 1 for none."""
    return max(1, -(-size_bytes // BYTES_PER_TOKEN))
