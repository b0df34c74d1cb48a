"""Changing a tier: what it may be, and the versions that a change makes; orders that are placed keep their terms."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import pairwise

from backend.domain.errors import Invalid, shown, unknown_choice
from backend.domain.fees import check_start
from backend.domain.money import AMOUNT_NANO_MAX, PPM, format_credits
from backend.domain.percent import read_percent
from backend.domain.tiers import Ladder, ResourceClass, Tier, TierName, TierVersion, fitted, tier_at, versions_at

TIER_SLOTS_MAX = 100_000
TARGET_MS_MAX = 600_000
WEIGHT_MAX = 1_000
LADDER_STEPS_MAX = 10
STEPS_TOLD_MAX = 3

_RANGES = (
    ("slots_max", 1, TIER_SLOTS_MAX),
    ("latency_ms_p95", 1, TARGET_MS_MAX),
    ("weight", 1, WEIGHT_MAX),
)
_SHARES = (("uptime_ppm", 1), ("reserved_ppm", 0))


@dataclass(frozen=True, slots=True)
class TierChanges:
    """What is to be different about a tier; None leaves it as it is."""

    classes: tuple[str, ...] | None = None
    slots_max: int | None = None
    request_cap_nano: int | None = None
    month_cap_nano: int | None = None
    latency_ms_p95: int | None = None
    uptime_ppm: int | None = None
    weight: int | None = None
    reserved_ppm: int | None = None
    ladder: Ladder | None = None

    def given(self) -> dict[str, object]:
        """What is to be different, by its field."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


def revise(
    known: Sequence[TierVersion], name: TierName, changes: TierChanges, valid_from: datetime | None, now: datetime
) -> list[TierVersion]:
    """The versions that a change adds to all those `known`, the change itself first; from now on without `valid_from`.

    A change of the monthly cap holds at once and for good: versions still to come are made again with it.
    Raises Invalid for a tier or a moment that cannot be.
    """
    if not changes.given():
        raise Invalid("nothing is to change", code="nothing_to_change", field="tier", accepted="a setting to change")
    # Whoever waited for another change builds on it, whichever clock was first.
    since = check_start(valid_from, now) if valid_from else max(now, *(v.created_at for v in known))
    before = tier_at(known, since)[name]
    made = changed(before, changes)
    own = [version for version in known if version.tier.name is name]
    number = max(version.version for version in own) + 1
    versions = [TierVersion(number, made, since, now)]
    if made.month_cap_nano != before.month_cap_nano:
        _check_at_once(since, now, valid_from)
        for later in sorted({v.valid_from for v in own if v.valid_from > since}):
            tier = _capped(versions_at(own, later)[name], made.month_cap_nano)
            versions.append(TierVersion(number + len(versions), tier, later, now))
    check_reserved([*known, *versions], since)
    return versions


def changed(tier: Tier, changes: TierChanges) -> Tier:
    """A tier with its changes, checked; under a lower uptime target a ladder that was not named falls with it."""
    given = changes.given()
    if changes.uptime_ppm is not None and changes.ladder is None:
        given["ladder"] = fitted(tier.ladder, changes.uptime_ppm)
    made = check_tier(replace(tier, **given))  # type: ignore[arg-type]  # the fields are the tier's own
    return replace(made, classes=tuple(ResourceClass(name) for name in made.classes))


def check_tier(tier: Tier) -> Tier:
    """`tier` if it can be one; raises Invalid with the field's name."""
    _check_classes(tier.classes)
    for field, low, high in _RANGES:
        _check_whole(field, getattr(tier, field), low, high, f"{low} to {high}")
    for field, low in _SHARES:
        _check_whole(field, getattr(tier, field), low, PPM, f"{low} ppm to {PPM} ppm")
    amounts = f"more than 0 and at most {format_credits(AMOUNT_NANO_MAX)} credits"
    _check_whole("month_cap", tier.month_cap_nano, 1, AMOUNT_NANO_MAX, amounts)
    _check_whole("request_cap", tier.request_cap_nano, 1, AMOUNT_NANO_MAX, amounts)
    if tier.request_cap_nano > tier.month_cap_nano:
        raise Invalid(
            "a request may not cost more than a month",
            code="invalid_request_cap",
            field="request_cap",
            accepted=f"at most {format_credits(tier.month_cap_nano)} credits, or a higher month_cap",
        )
    _check_ladder(tier.ladder, tier.uptime_ppm)
    return tier


def check_reserved(versions: Sequence[TierVersion], since: datetime) -> None:
    """Raise Invalid(`invalid_reserved_ppm`) if, at any moment from `since` on, more than everything is reserved."""
    for moment in sorted({since, *(v.valid_from for v in versions if v.valid_from > since)}):
        shares = {name: tier.reserved_ppm for name, tier in tier_at(versions, moment).items()}
        if sum(shares.values()) > PPM:
            told = ", ".join(f"{name} {share} ppm" for name, share in shares.items())
            when = f" from {moment.isoformat()} on" if moment > since else ""
            raise Invalid(
                f"{sum(shares.values())} ppm of each market would be reserved{when}",
                code="invalid_reserved_ppm",
                field="reserved_ppm",
                accepted=f"at most {PPM} ppm of all tiers together; lower another's first ({told})",
            )


def parse_share(text: str, field: str) -> int:
    """Parts per million of a decimal percentage from 0 to 100; raises Invalid(`invalid_<field>`)."""
    ppm = read_percent(text, PPM)
    if ppm is not None:
        return ppm
    raise Invalid(
        f"{shown(text)} is no percentage",
        code=f"invalid_{field}",
        field=field,
        accepted="a percentage from 0 to 100 with at most 4 decimals, as in 99.95",
    )


def _check_at_once(since: datetime, now: datetime, valid_from: datetime | None) -> None:
    if valid_from is not None and since > now:
        raise Invalid(
            f"a monthly cap cannot be set for {since.isoformat()}",
            code="invalid_valid_from",
            field="valid_from",
            accepted="none: a monthly cap changes from now on, since it is a budget that counts already",
        )


def _capped(version: TierVersion, month_cap_nano: int) -> Tier:
    """A tier that is still to come, with another monthly cap."""
    try:
        return check_tier(replace(version.tier, month_cap_nano=month_cap_nano))
    except Invalid as error:
        error.message = f"version {version.version}, from {version.valid_from.isoformat()} on: {error.message}"
        raise


def _check_classes(classes: Sequence[str]) -> None:
    known = [resource_class.value for resource_class in ResourceClass]
    for name in classes:
        if name not in known:
            raise unknown_choice("classes", name, known)
    if not classes or len(set(classes)) < len(classes):
        raise Invalid(
            "each class once, and at least one",
            code="invalid_classes",
            field="classes",
            accepted=f"some of {', '.join(known)}, the preferred one first",
        )


def _check_whole(field: str, value: int, low: int, high: int, accepted: str) -> None:
    if type(value) is not int or not low <= value <= high:
        raise Invalid(
            f"{field} {shown(value)} is out of range", code=f"invalid_{field}", field=field, accepted=accepted
        )


def _check_ladder(ladder: Ladder, uptime_ppm: int) -> None:
    whole = all(type(value) is int and 1 <= value <= PPM for step in ladder for value in step)
    if (
        len(ladder) > LADDER_STEPS_MAX
        or not whole
        or any(below > uptime_ppm for below, _ in ladder)
        or any(a[0] <= b[0] or a[1] >= b[1] for a, b in pairwise(ladder))
    ):
        raise Invalid(
            f"{_told(ladder)} is no ladder of credits",
            code="invalid_ladder",
            field="ladder",
            accepted=f"at most {LADDER_STEPS_MAX} steps of 1 ppm to {PPM} ppm, the first at most at the uptime target"
            f" of {uptime_ppm} ppm, each for a lower uptime and a higher credit than the one before",
        )


def _told(ladder: Ladder) -> str:
    """The first steps of what may be no ladder, each as uptime=credit."""
    steps = [f"{shown(below)} ppm={shown(credit)} ppm" for below, credit in ladder[:STEPS_TOLD_MAX]]
    return ", ".join([*steps, "…"] if len(ladder) > STEPS_TOLD_MAX else steps)
