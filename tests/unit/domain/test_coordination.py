"""Facts and named resources: what may be written, and who has what."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from backend.domain.coordination import (
    FACTS_PER_OWNER_MAX,
    HOLD_MAX,
    HOLD_MIN,
    PUT_MAX,
    TTL_MAX,
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
    is_current,
    is_free,
    refusals,
    released,
    renewed,
)
from backend.domain.errors import Conflict, Invalid, TooLarge

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOLD = timedelta(seconds=10)
DAY = timedelta(days=1)


def fact(key: str, owner: str = "me", version: int = 7) -> Fact:
    return Fact(key, 1, owner, version, None, NOW)


@pytest.mark.parametrize("name", ["a", "agent.settlement-0", "market/fog:north", "a@b", "A" * 128])
def test_names_that_can_be_used(name: str) -> None:
    assert check_name("key", name) == name


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "ä", "a\n", "a" * 129, "a\0"])
def test_names_that_cannot_be_used_are_refused_by_their_field(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_name("holder", name)
    assert (refused.value.code, refused.value.field) == ("invalid_holder", "holder")


@pytest.mark.parametrize("value", [None, 1, 1.5, "ä", [1, {"a": []}], "\\u0000", 10**30])
def test_what_json_has_can_be_a_value(value: object) -> None:
    check_puts([Put("a", value)])


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}, "a\0b", "\ud800", {"a": b"bytes"}])
def test_what_json_or_the_database_has_not_is_no_value(value: object) -> None:
    with pytest.raises(Invalid) as refused:
        check_puts([Put("a", value)])
    assert refused.value.field == "value"


def test_a_value_is_as_large_as_its_limit_and_no_larger() -> None:
    assert len(check_json("value", "x" * (VALUE_BYTES_MAX - 2), VALUE_BYTES_MAX)) == VALUE_BYTES_MAX
    with pytest.raises(TooLarge) as refused:
        check_json("value", "ä" * (VALUE_BYTES_MAX // 2), VALUE_BYTES_MAX)
    assert refused.value.accepted == f"at most {VALUE_BYTES_MAX} bytes as JSON"


@pytest.mark.parametrize(
    ("puts", "field"),
    [
        ([], "facts"),
        ([Put(f"k{number}", 1) for number in range(PUT_MAX + 1)], "facts"),
        ([Put("a", 1), Put("a", 2)], "key"),
        ([Put("", 1)], "key"),
        ([Put("a", 1, expected=-1)], "expected"),
        ([Put("a", 1, timedelta(0))], "ttl"),
        ([Put("a", 1, TTL_MAX + DAY)], "ttl"),
    ],
)
def test_facts_that_cannot_be_written_are_refused_by_the_field_at_fault(puts: list[Put], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_puts(puts)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("put", "known", "override", "refusal"),
    [
        (Put("a", 1), None, False, None),
        (Put("a", 1), fact("a"), False, None),
        (Put("a", 1), fact("a", "other"), False, PutRefusal.OWNED),
        (Put("a", 1, expected=9), fact("a", "other"), False, PutRefusal.OWNED),
        (Put("a", 1), fact("a", "other"), True, None),
        (Put("a", 1, expected=7), fact("a", "other"), True, None),
        (Put("a", 1, expected=7), fact("a"), False, None),
        (Put("a", 1, expected=6), fact("a"), False, PutRefusal.STALE),
        (Put("a", 1, expected=0), fact("a"), False, PutRefusal.STALE),
        (Put("a", 1, expected=0), None, False, None),
        (Put("a", 1, expected=7), None, False, PutRefusal.STALE),
    ],
)
def test_a_fact_is_written_by_its_owner_over_the_version_that_it_expected(
    put: Put, known: Fact | None, override: bool, refusal: PutRefusal | None
) -> None:
    found = refusals([put], "me", {known.key: known} if known else {}, 0, override=override)
    assert found.get("a") == refusal


def test_an_owner_has_so_many_facts_at_most_and_may_always_change_those_it_has() -> None:
    puts = [Put("new", 1), Put("old", 2), Put("newer", 3)]
    assert refusals(puts, "me", {"old": fact("old")}, FACTS_PER_OWNER_MAX - 1) == {"newer": PutRefusal.FULL}
    assert refusals(puts, "me", {"old": fact("old")}, FACTS_PER_OWNER_MAX) == dict.fromkeys(
        ("new", "newer"), PutRefusal.FULL
    )


@pytest.mark.parametrize("hold", [HOLD_MIN - timedelta(microseconds=1), HOLD_MAX + timedelta(microseconds=1)])
def test_a_lease_that_is_too_short_or_too_long_is_refused(hold: timedelta) -> None:
    check_hold(HOLD_MIN)
    check_hold(HOLD_MAX)
    with pytest.raises(Invalid) as refused:
        check_hold(hold)
    assert refused.value.accepted == "1 to 3600 seconds"


def test_a_resource_goes_to_the_next_only_when_it_is_free_and_fences_grow() -> None:
    first = acquired(NamedLease("r"), "a", NOW, HOLD)
    assert first is not None
    assert first == NamedLease("r", "a", 1, NOW + HOLD)
    assert acquired(first, "b", NOW + HOLD - timedelta(microseconds=1), HOLD) is None
    assert acquired(first, "a", NOW, HOLD) is None, "not even to the same holder: it has to know its fence"
    second = acquired(first, "b", NOW + HOLD, HOLD)
    assert second is not None
    assert (second.holder, second.fence) == ("b", 2)
    assert renewed(second, 1, NOW, HOLD) is None
    assert released(second, 1) is None
    free = released(second, 2)
    assert free is not None
    assert free == NamedLease("r", None, 2, None)
    assert renewed(free, 2, NOW, HOLD) is None, "what was released has to be acquired again"
    assert not is_current(free, 2)


def test_a_lease_that_ran_out_with_nobody_coming_is_still_its_holders() -> None:
    first = acquired(NamedLease("r"), "a", NOW, HOLD)
    assert first
    assert renewed(first, 1, NOW + DAY, HOLD) == NamedLease("r", "a", 1, NOW + DAY + HOLD)


def test_a_stale_fence_is_told_with_its_name() -> None:
    error = FenceStale("r", 3)
    assert (error.code, error.field, error.name, error.fence) == ("fence_stale", "fence", "r", 3)
    assert isinstance(error, Conflict)


class Resource(RuleBasedStateMachine):
    """One resource under any order of calls and any pauses, beside a list of who ever held it."""

    fences: Bundle[int] = Bundle("fences")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.lease = NamedLease("r")
        self.holders: list[str] = []  # by fence − 1
        self.until: datetime | None = None  # None: nobody holds it

    @rule(seconds=st.integers(0, 15))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(target=fences, holder=st.sampled_from("abc"))
    def acquire(self, holder: str) -> int:
        free = self.until is None or self.until <= self.now
        assert is_free(self.lease, self.now) == free
        taken = acquired(self.lease, holder, self.now, HOLD)
        assert (taken is not None) == free
        if taken:
            self.lease, self.until = taken, self.now + HOLD
            self.holders.append(holder)
        return len(self.holders)

    @rule(fence=fences)
    def renew(self, fence: int) -> None:
        kept = renewed(self.lease, fence, self.now, HOLD)
        assert (kept is not None) == (self.until is not None and fence == len(self.holders))
        if kept:
            self.lease, self.until = kept, self.now + HOLD

    @rule(fence=fences)
    def release(self, fence: int) -> None:
        free = released(self.lease, fence)
        assert (free is not None) == (self.until is not None and fence == len(self.holders))
        if free:
            self.lease, self.until = free, None

    @invariant()
    def one_fence_is_current_at_most_and_it_is_the_last_holders(self) -> None:
        current = [fence for fence in range(len(self.holders) + 2) if is_current(self.lease, fence)]
        assert current == ([len(self.holders)] if self.until else [])
        assert self.lease.fence == len(self.holders)
        assert self.lease.holder == (self.holders[-1] if self.until else None)


TestResource = Resource.TestCase
