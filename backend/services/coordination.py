"""Facts that agents share, and resources that one of them holds at a time.

The time is the caller's, as in all services. Machines whose clocks differ may take a resource early or late, but never
write under it both: that is decided by the fence, in the database.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.domain.access import Principal, Role
from backend.domain.coordination import (
    PUT_MAX,
    VALUE_BYTES_MAX,
    Fact,
    FenceStale,
    NamedLease,
    Put,
    PutRefusal,
    acquired,
    check_hold,
    check_json,
    check_name,
    check_puts,
    refusals,
    released,
    renewed,
)
from backend.domain.errors import Conflict, Invalid, NotFound
from backend.domain.events import Event, Topic
from backend.services.log import record
from backend.storage.contention import patient
from backend.storage.unit_of_work import UnitOfWork

LIST_MAX = 1_000
EXPIRE_MAX = 500
OPERATOR = "operator"
POLL_S = 0.25  # a resource whose release nobody was told of is found free after so long
WAIT_MAX_S = 600.0

Pause = Callable[[float], object]
"""Waits so many seconds at most, or until an event hints at something: `time.sleep`, or `Subscription.wait`."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of facts: those that were written, by key, and why the others were not."""

    facts: dict[str, Fact]
    refused: dict[str, PutRefusal]


@patient
def put_facts(uow: UnitOfWork, now: datetime, owner: str, puts: Sequence[Put]) -> Written:
    """Write facts of an owner, each or not at all by its own conditions; raises Invalid, TooLarge.

    A fact of somebody else is refused, and so is one whose version is not the expected one.
    """
    check_name("owner", owner)
    check_puts(puts)
    with uow:
        written = _write(uow, now, owner, puts)
        uow.commit()
    return written


def set_fact(uow: UnitOfWork, now: datetime, principal: Principal | None, put: Put, owner: str = OPERATOR) -> Fact:
    """Write a fact as an admin, whoever had it; logged. Raises Forbidden, Invalid, Conflict(`fact_stale`)."""
    _require_admin(principal)
    check_puts([put])
    with uow:
        written = _write(uow, now, owner, [put], override=True)
        if put.key in written.refused:
            raise _refused(put, written.refused[put.key])
        fact = written.facts[put.key]
        record(uow, now, principal, "fact.set", f"fact {put.key}", version=fact.version)
        uow.commit()
    return fact


def get_facts(uow: UnitOfWork, now: datetime, keys: Collection[str]) -> dict[str, Fact]:
    """Those of these facts that there are, by key."""
    if len(keys) > PUT_MAX:
        raise Invalid(f"{len(keys)} keys", code="invalid_facts", field="keys", accepted=f"up to {PUT_MAX} at a time")
    with uow:
        return uow.facts.of_keys(keys, now)


def show_fact(uow: UnitOfWork, now: datetime, key: str) -> Fact:
    """A fact; raises NotFound."""
    found = get_facts(uow, now, [key])
    if key not in found:
        raise _no_fact(key)
    return found[key]


def list_facts(uow: UnitOfWork, now: datetime, prefix: str = "", limit: int = 100, after: str = "") -> list[Fact]:
    """Facts whose key begins so, by key, from the one behind `after` on."""
    _check_limit(limit)
    with uow:
        return uow.facts.with_prefix(prefix, now, limit, after)


@patient
def delete_facts(uow: UnitOfWork, now: datetime, owner: str, keys: Collection[str]) -> int:
    """Forget those of these facts that are the owner's; returns how many."""
    with uow:
        uow.facts.lock(owner, keys)
        mine = [fact.key for fact in uow.facts.of_keys(keys, now).values() if fact.owner == owner]
        _delete(uow, mine)
        uow.commit()
    return len(mine)


def remove_fact(uow: UnitOfWork, now: datetime, principal: Principal | None, key: str) -> None:
    """Forget a fact as an admin, whoever had it; logged. Raises Forbidden, NotFound."""
    _require_admin(principal)
    with uow:
        uow.facts.lock(OPERATOR, [key])
        if key not in uow.facts.of_keys([key], now):
            raise _no_fact(key)
        _delete(uow, [key])
        record(uow, now, principal, "fact.delete", f"fact {key}")
        uow.commit()


def expire_facts(uow: UnitOfWork, now: datetime, limit: int = EXPIRE_MAX) -> int:
    """Delete facts whose time is over; returns how many."""
    with uow:
        gone = uow.facts.expire(now, limit)
        _tell(uow, gone)
        uow.commit()
    return len(gone)


def acquire(uow: UnitOfWork, now: datetime, name: str, holder: str, hold: timedelta) -> NamedLease | None:
    """Take a resource if nobody has it, or whoever had it let its time run out; None otherwise, at once.

    Its `fence` is above that of every holder before. Raises Invalid.
    """
    check_name("name", name)
    check_name("holder", holder)
    check_hold(hold)
    with uow:
        known = uow.named_leases.lock_free(name)
        lease = known and acquired(known, holder, now, hold)
        if lease:
            uow.named_leases.write(lease)
        uow.commit()
    return lease


def acquire_within(
    uow: Callable[[], UnitOfWork],
    clock: Callable[[], datetime],
    name: str,
    holder: str,
    hold: timedelta,
    timeout_s: float,
    pause: Pause = time.sleep,
) -> NamedLease | None:
    """Take a resource, waiting up to `timeout_s` (WAIT_MAX_S at most) for it to be free; None if it was not.

    It is asked for every POLL_S at least; with the `wait` of a subscription to Topic.RESOURCES_FREED as the pause, as
    soon as it is released.
    """
    deadline = time.monotonic() + min(timeout_s, WAIT_MAX_S)
    while True:
        lease = acquire(uow(), clock(), name, holder, hold)
        left_s = deadline - time.monotonic()
        if lease or left_s <= 0:
            return lease
        pause(min(POLL_S, left_s))


def renew(uow: UnitOfWork, now: datetime, name: str, fence: int, hold: timedelta) -> NamedLease:
    """Keep a resource for another `hold`; raises FenceStale once it has another holder, or Invalid."""
    check_hold(hold)
    return _change(uow, name, fence, lambda lease: renewed(lease, fence, now, hold))


def release(uow: UnitOfWork, name: str, fence: int) -> None:
    """Give a resource back before its time is over; raises FenceStale once it has another holder."""
    _change(uow, name, fence, lambda lease: released(lease, fence))


def check(uow: UnitOfWork, name: str, fence: int) -> None:
    """For an open unit of work, last before its commit: raises FenceStale unless the write is still the holder's.

    Until the transaction ends, nobody can acquire the resource. `GuardedUnitOfWork` does so at each commit.
    """
    uow.named_leases.guard(name, fence)


def list_resources(uow: UnitOfWork, prefix: str = "", limit: int = 100) -> list[NamedLease]:
    """Resources that were ever held whose name begins so, by name."""
    _check_limit(limit)
    with uow:
        return uow.named_leases.with_prefix(prefix, limit)


def take_away(uow: UnitOfWork, now: datetime, principal: Principal | None, name: str) -> NamedLease:
    """Release a resource as an admin, whoever holds it: that one's writes are refused from now on; logged.

    Returns the lease as it was. Raises Forbidden, NotFound, or Conflict(`resource_free`).
    """
    _require_admin(principal)
    with uow:
        lease = uow.named_leases.lock(name)
        if lease is None:
            raise NotFound("resource", name, accepted="the name of a resource that was held")
        free = released(lease, lease.fence)
        if free is None:
            raise Conflict(f"nobody holds {name}", code="resource_free", field="resource", accepted="one that is held")
        uow.named_leases.write(free)
        uow.emit(Event(Topic.RESOURCES_FREED, name))
        record(uow, now, principal, "resource.release", f"resource {name}", holder=lease.holder, fence=lease.fence)
        uow.commit()
    return lease


def _change(uow: UnitOfWork, name: str, fence: int, change: Callable[[NamedLease], NamedLease | None]) -> NamedLease:
    with uow:
        known = uow.named_leases.lock(name)
        lease = known and change(known)
        if lease is None:
            raise FenceStale(name, fence)
        uow.named_leases.write(lease)
        if lease.holder is None:
            uow.emit(Event(Topic.RESOURCES_FREED, name))
        uow.commit()
    return lease


def _write(uow: UnitOfWork, now: datetime, owner: str, puts: Sequence[Put], *, override: bool = False) -> Written:
    """Write what may be written, in the caller's unit of work, in four statements."""
    keys = [put.key for put in puts]
    uow.facts.lock(owner, keys)
    refused = refusals(puts, owner, uow.facts.of_keys(keys, now), uow.facts.count_of(owner, now), override=override)
    good = [put for put in puts if put.key not in refused]
    if not good:
        return Written({}, refused)
    values = [check_json("value", put.value, VALUE_BYTES_MAX) for put in good]
    facts = uow.facts.write(owner, good, values, now)
    _tell(uow, facts)
    return Written(facts, refused)


def _delete(uow: UnitOfWork, keys: Collection[str]) -> None:
    uow.facts.delete(keys)
    _tell(uow, keys)


def _tell(uow: UnitOfWork, keys: Collection[str]) -> None:
    for key in keys:
        uow.emit(Event(Topic.FACTS_CHANGED, key))


def _refused(put: Put, why: PutRefusal) -> Conflict:
    accepted = "another --expect, or none" if why is PutRefusal.STALE else "fewer facts: delete some first"
    return Conflict(f"fact {put.key} was not written: {why}", code=f"fact_{why}", field="expected", accepted=accepted)


def _no_fact(key: str) -> NotFound:
    return NotFound("fact", key, field="key", accepted="the key of a fact that has not expired")


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")


def _require_admin(principal: Principal | None) -> None:
    if principal is not None:
        principal.require(Role.ADMIN)
