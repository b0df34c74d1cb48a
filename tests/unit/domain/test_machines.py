"""What a provider may state of a machine, and what an order may need of one."""

import json
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid
from backend.domain.ids import NodeId
from backend.domain.machines import (
    ACCELERATORS_MAX,
    CORES_MAX,
    LATENCY_MS_MAX,
    MEMORY_MB_MAX,
    NAMED_MAX,
    NEEDS,
    NO_NEEDS,
    NUMBERS,
    Needs,
    check_hardware,
    check_needs,
    needs_of,
    stated_needs,
)
from backend.domain.money import PPM
from tests.unit.domain.refusals import refusal

MOST = {
    "cores": CORES_MAX,
    "memory_mb": MEMORY_MB_MAX,
    "gpu_memory_mb": MEMORY_MB_MAX,
    "accelerators": ACCELERATORS_MAX,
    "latency_ms_max": LATENCY_MS_MAX,
    "trust_min_ppm": PPM,
}
HARDWARE: dict[str, Any] = {
    "cores": 8,
    "memory_mb": 16_384,
    "gpu_model": "a100 80gb",
    "gpu_memory_mb": 81_920,
    "accelerators": 2,
    "residency": "de",
    "latency_ms": 5,
}
BAD_WORDS = ["", "A100", "-a", " a", "a ", "a/b", "ä", "a\n", "a" * 64, "a٣", 3, b"a"]
A, B, C = (NodeId(UUID(int=number)) for number in (1, 2, 3))

words = st.from_regex(r"[a-z0-9]([a-z0-9._ -]{0,61}[a-z0-9])?", fullmatch=True)
nodes = st.uuids().map(NodeId)


@st.composite
def wishes(draw: st.DrawFn) -> Needs:
    """Needs that some node could meet, as they come out of a check."""
    named = draw(st.lists(nodes, unique=True, max_size=6).map(sorted))
    cut = draw(st.integers(0, len(named)))
    dedicated = draw(st.booleans())
    return Needs(
        cores=draw(st.integers(0, CORES_MAX)),
        memory_mb=draw(st.integers(0, MEMORY_MB_MAX)),
        gpu_model=draw(st.none() | words),
        gpu_memory_mb=draw(st.integers(0, MEMORY_MB_MAX)),
        accelerators=draw(st.integers(0, ACCELERATORS_MAX)),
        residency=tuple(draw(st.lists(words, unique=True, max_size=3).map(sorted))),
        latency_ms_max=draw(st.none() | st.integers(1, LATENCY_MS_MAX)),
        trust_min_ppm=draw(st.integers(0, PPM)),
        dedicated=dedicated,
        spread=not dedicated and draw(st.booleans()),
        only=tuple(named[:cut]),
        never=tuple(named[cut:]),
    )


@given(wishes())
def test_needs_that_a_node_could_meet_are_accepted_unchanged(needs: Needs) -> None:
    assert check_needs(needs) == needs
    assert needs.hard == (needs != NO_NEEDS)


@given(wishes())
def test_needs_are_the_same_after_json_and_back_and_when_they_are_stated_so(needs: Needs) -> None:
    stored = json.loads(json.dumps(needs.wire()))
    assert needs_of(stored) == needs
    assert stated_needs(stored) == needs
    assert (stored == {}) == (not needs.hard)


def test_needs_keep_what_is_asked_for_and_nothing_else() -> None:
    asked = Needs(gpu_model="a100", residency=("de",), dedicated=True, never=(B,))
    assert asked.wire() == {"gpu_model": "a100", "residency": ["de"], "dedicated": True, "never": [str(B)]}
    assert NO_NEEDS.wire() == Needs().wire() == {}
    assert needs_of({}) is NO_NEEDS


def test_names_come_out_once_and_in_order_so_that_equal_needs_are_equal() -> None:
    checked = check_needs(Needs(residency=("fr", "de", "fr"), only=(C, A, C), never=(B, B)))
    assert (checked.residency, checked.only, checked.never) == (("de", "fr"), (A, C), (B,))


@pytest.mark.parametrize("stated", [{}, {"cores": None}, dict.fromkeys(NEEDS)])
def test_stating_nothing_is_no_need(stated: dict[str, Any]) -> None:
    assert stated_needs(stated) is NO_NEEDS


def test_a_node_may_be_stated_by_its_id_or_the_text_of_it() -> None:
    assert stated_needs({"only": [A, str(B)]}) == Needs(only=(A, B))
    assert stated_needs({"never": []}) == Needs()


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [0, -1, -(2**70), 2**70, True, 1.0, float("nan"), float("inf"), "1", []])
def test_a_number_that_is_stated_is_a_whole_one_within_its_range(name: str, value: Any) -> None:
    error = refusal(lambda: stated_needs({name: value}))
    assert isinstance(error, Invalid)
    assert (error.code, error.field) == (f"invalid_{name}", f"needs.{name}")
    assert error.accepted == f"1 to {MOST[name]}"
    assert len(error.message) < 200


@pytest.mark.parametrize("name", NUMBERS)
def test_the_ends_of_a_numbers_range_are_within_it(name: str) -> None:
    assert stated_needs({name: 1}).wire() == {name: 1}
    assert stated_needs({name: MOST[name]}).wire() == {name: MOST[name]}
    assert refusal(lambda: stated_needs({name: MOST[name] + 1})).field == f"needs.{name}"


@pytest.mark.parametrize("name", NUMBERS)
def test_needs_made_by_hand_are_held_to_the_same_ranges_but_that_zero_asks_for_nothing(name: str) -> None:
    wrong: list[dict[str, Any]] = [{name: value} for value in (-1, MOST[name] + 1, float("nan"), True)]
    for needs in [replace(NO_NEEDS, **changes) for changes in wrong]:
        error = refusal(partial(check_needs, needs))
        assert (error.code, error.field) == (f"invalid_{name}", f"needs.{name}")
    if name == "latency_ms_max":
        assert refusal(lambda: check_needs(Needs(latency_ms_max=0))).accepted == f"1 to {LATENCY_MS_MAX}"
    else:
        nothing: dict[str, Any] = {name: 0}
        assert check_needs(replace(NO_NEEDS, **nothing)) == NO_NEEDS


@pytest.mark.parametrize(
    ("stated", "code", "field"),
    [
        *(({"gpu_model": word}, "invalid_gpu_model", "needs.gpu_model") for word in BAD_WORDS),
        *(({"residency": [word]}, "invalid_residency", "needs.residency") for word in BAD_WORDS),
        *(({"residency": value}, "invalid_residency", "needs.residency") for value in ((), "de", 3, {"de": 1})),
        ({"residency": ["de"] * (NAMED_MAX + 1)}, "invalid_residency", "needs.residency"),
        *(({"only": value}, "invalid_only", "needs.only") for value in ([], str(A), [3], ["rack-1"], [None])),
        *(({"never": value}, "invalid_never", "needs.never") for value in ("", [""], ["x" * 10_000])),
        ({"only": [UUID(int=n) for n in range(NAMED_MAX + 1)]}, "invalid_only", "needs.only"),
        ({"never": [UUID(int=n) for n in range(NAMED_MAX + 1)]}, "invalid_never", "needs.never"),
        *(({name: value}, f"invalid_{name}", f"needs.{name}") for name in ("dedicated", "spread") for value in (1, "")),
        ({"only": [A, B], "never": [B]}, "contradictory_needs", "needs.never"),
        ({"dedicated": True, "spread": True}, "contradictory_needs", "needs.spread"),
        ({"gpus": 3}, "unknown_field", "needs.gpus"),
        ({"ä\n": 3}, "unknown_field", "needs.\\xe4\n"),
    ],
)
def test_needs_that_no_node_could_meet_are_refused_by_their_field(stated: Any, code: str, field: str) -> None:
    error = refusal(lambda: stated_needs(stated))
    assert isinstance(error, Invalid)
    assert (error.code, error.field) == (code, field)
    assert error.accepted
    assert len(error.message) < 200


@pytest.mark.parametrize("stated", [{"x" * 10_000: 1}, {"cores": 10**5_000}], ids=["name", "number"])
def test_endless_names_and_numbers_are_refused_in_few_words(stated: dict[str, int]) -> None:
    error = refusal(lambda: stated_needs(stated))
    assert len(error.field or "") < 200
    assert len(error.message) < 200


@given(
    st.integers(1, CORES_MAX),
    st.integers(1, MEMORY_MB_MAX),
    st.integers(0, LATENCY_MS_MAX),
    st.none() | words,
    st.none() | words,
    st.integers(0, MEMORY_MB_MAX),
    st.integers(1, ACCELERATORS_MAX),
)
def test_a_machine_within_the_ranges_is_accepted(
    cores: int, memory_mb: int, latency_ms: int, place: str | None, gpu: str | None, gpu_mb: int, accelerators: int
) -> None:
    plain: dict[str, Any] = {"cores": cores, "memory_mb": memory_mb, "latency_ms": latency_ms, "residency": place}
    check_hardware(**plain, gpu_model=None, gpu_memory_mb=0, accelerators=0)
    check_hardware(**plain, gpu_model=gpu, gpu_memory_mb=gpu_mb, accelerators=accelerators)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        *(({name: -1}, f"invalid_{name}", name) for name in HARDWARE if name not in ("gpu_model", "residency")),
        *(({name: 0}, f"invalid_{name}", name) for name in ("cores", "memory_mb")),
        *(({name: 2**31}, f"invalid_{name}", name) for name in ("cores", "memory_mb", "accelerators", "latency_ms")),
        *(({"cores": value}, "invalid_cores", "cores") for value in (float("nan"), 1.5, True, "8", None)),
        *(({"gpu_model": word}, "invalid_gpu_model", "gpu_model") for word in BAD_WORDS),
        *(({"residency": word}, "invalid_residency", "residency") for word in BAD_WORDS),
        ({"accelerators": 0}, "contradictory_hardware", "accelerators"),
        ({"accelerators": 0, "gpu_model": None}, "contradictory_hardware", "accelerators"),
        ({"accelerators": 0, "gpu_memory_mb": 0}, "contradictory_hardware", "accelerators"),
    ],
)
def test_a_machine_that_cannot_be_is_refused_by_its_field(changes: dict[str, Any], code: str, field: str) -> None:
    check_hardware(**HARDWARE)
    error = refusal(lambda: check_hardware(**HARDWARE | changes))
    assert isinstance(error, Invalid)
    assert (error.code, error.field) == (code, field)
    assert error.accepted
