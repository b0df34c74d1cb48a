"""What agents share: facts with owner, version and expiry, and named resources that one holder at a time has.

A resource is held by a lease whose `fence` grows with every holder. The fence, not the clock, is what keeps a late
writer out: clocks only decide when somebody else may try.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from backend.domain.errors import Conflict, Invalid, TooLarge, shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,127}", re.ASCII)
"""A fact's key, its owner, a resource or its holder."""
NAME_ACCEPTED = "1 to 128 letters, digits and _ . : / @ -, of which the first is a letter or a digit"
VALUE_BYTES_MAX = 8 * 1024  # of a fact, as JSON
FACTS_PER_OWNER_MAX = 1_000
PUT_MAX = 200  # facts in one call
TTL_MAX = timedelta(days=365)
HOLD_MIN, HOLD_MAX = timedelta(seconds=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that one agent wants the others to know; versions are never used twice, not even after a delete."""

    key: str
    value: object
    owner: str
    version: int
    expires_at: datetime | None
    written_at: datetime


@dataclass(frozen=True, slots=True)
class Put:
    """A fact to be written: for `ttl` or for good; `expected` is the version that it replaces, 0 for none at all."""

    key: str
    value: object
    ttl: timedelta | None = None
    expected: int | None = None


class PutRefusal(StrEnum):
    """Why a fact was not written, the first that holds."""

    OWNED = "owned"  # by somebody else
    STALE = "stale"  # its version is not the expected one
    FULL = "full"  # the owner has FACTS_PER_OWNER_MAX


@dataclass(frozen=True, slots=True)
class NamedLease:
    """Who has a resource: `fence` counts its holders, and is valid until another one comes or this one releases."""

    name: str
    holder: str | None = None
    fence: int = 0
    expires_at: datetime | None = None


class FenceStale(Conflict):
    """A write by somebody whose lease has gone to another holder, or was released."""

    def __init__(self, name: str, fence: int) -> None:
        super().__init__(
            f"{name} is not held with fence {fence} any more",
            code="fence_stale",
            field="fence",
            accepted="the fence of the latest holder; acquire the resource again",
        )
        self.name = name
        self.fence = fence


def check_name(field: str, name: str, code: str | None = None) -> str:
    """The name, if it can be one; raises Invalid, with the code `invalid_<field>` unless it is told."""
    if not NAME.fullmatch(name):
        raise Invalid(
            f"{field} {shown(name)} cannot be used",
            code=code or f"invalid_{field}",
            field=field,
            accepted=NAME_ACCEPTED,
        )
    return name


def check_puts(puts: Sequence[Put]) -> None:
    """Raise Invalid or TooLarge unless each of these can be written, and all of them at once."""
    if not 1 <= len(puts) <= PUT_MAX:
        raise Invalid(f"{len(puts)} facts", code="invalid_facts", field="facts", accepted=f"1 to {PUT_MAX} at a time")
    if len({put.key for put in puts}) < len(puts):
        raise Invalid("a key is there twice", code="invalid_fact_key", field="key", accepted="each key once in a call")
    for put in puts:
        check_name("key", put.key, "invalid_fact_key")  # an API key that cannot be one is another matter
        if put.expected is not None and put.expected < 0:
            raise Invalid(
                f"version {put.expected}",
                code="invalid_expected",
                field="expected",
                accepted="0 for no fact yet, or more",
            )
        if put.ttl is not None and not timedelta(0) < put.ttl <= TTL_MAX:
            raise Invalid(
                f"a life of {put.ttl}", code="invalid_ttl", field="ttl", accepted=f"up to {TTL_MAX.days} days"
            )
        check_json("value", put.value, VALUE_BYTES_MAX)


def check_json(field: str, value: object, bytes_max: int) -> str:
    """The value as JSON; raises Invalid for what JSON and PostgreSQL have not, TooLarge above `bytes_max`."""
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(written.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"{field}: {error}", code=f"invalid_{field}", field=field, accepted="a JSON value") from None
    if size > bytes_max:
        raise TooLarge(f"{field} has {size} bytes", field=field, accepted=f"at most {bytes_max} bytes as JSON")
    if "\\u0000" in written.replace("\\\\", ""):
        raise Invalid(
            f"{field} has a NUL", code=f"invalid_{field}", field=field, accepted="text without NUL characters"
        )
    return written


def refusals(
    puts: Sequence[Put], owner: str, known: Mapping[str, Fact], owned: int, *, override: bool = False
) -> dict[str, PutRefusal]:
    """Why facts cannot be written, by key; the others are, in their order, while the owner may have more.

    `known` are the facts of these keys that have not expired, `owned` how many the owner has of any key; with
    `override` it may take over those of others.
    """
    refused: dict[str, PutRefusal] = {}
    for put in puts:
        old = known.get(put.key)
        mine = old is not None and old.owner == owner
        if old and not mine and not override:
            refused[put.key] = PutRefusal.OWNED
        elif put.expected is not None and put.expected != (old.version if old else 0):
            refused[put.key] = PutRefusal.STALE
        elif not mine and owned >= FACTS_PER_OWNER_MAX:
            refused[put.key] = PutRefusal.FULL
        else:
            owned += not mine
    return refused


def check_hold(hold: timedelta) -> None:
    """Raise Invalid unless a resource may be held for so long at a time."""
    if not HOLD_MIN <= hold <= HOLD_MAX:
        accepted = f"{HOLD_MIN.total_seconds():.0f} to {HOLD_MAX.total_seconds():.0f} seconds"
        raise Invalid(f"a lease of {hold}", code="invalid_hold", field="hold", accepted=accepted)


def is_free(lease: NamedLease, now: datetime) -> bool:
    """Whether anybody may acquire it: nobody has it, or its time is over."""
    return lease.expires_at is None or lease.expires_at <= now


def acquired(lease: NamedLease, holder: str, now: datetime, hold: timedelta) -> NamedLease | None:
    """The lease of its next holder, whose fence is above all before; None while somebody has it, be it the same."""
    return NamedLease(lease.name, holder, lease.fence + 1, now + hold) if is_free(lease, now) else None


def renewed(lease: NamedLease, fence: int, now: datetime, hold: timedelta) -> NamedLease | None:
    """The lease for another `hold`; None if it went to another holder or was released.

    One that ran out without anybody taking it is still good: what was done under it was done alone.
    """
    return replace(lease, expires_at=now + hold) if is_current(lease, fence) else None


def released(lease: NamedLease, fence: int) -> NamedLease | None:
    """The lease that nobody holds; None if it is not this holder's any more. The fence is kept: it never goes back."""
    return replace(lease, holder=None, expires_at=None) if is_current(lease, fence) else None


def is_current(lease: NamedLease, fence: int) -> bool:
    """Whether a write with this fence may go through."""
    return lease.holder is not None and lease.fence == fence
