"""What a provider may call a machine, and what it may be."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid
from backend.domain.nodes import SLOTS_MAX, NodeSpec, check_name, check_node
from backend.domain.tiers import ResourceClass
from tests.unit.domain.refusals import refusal

NODE = NodeSpec("node-1", "fog", "north", 4)
BAD_NAMES = ["", "A", "Node", "-a", ".a", "_a", "a b", "a/b", "a\n", "\na", "ä", "a٣", "a" * 64, "a\x00"]


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True))
def test_a_name_of_lower_case_letters_digits_and_inner_marks_is_accepted_unchanged(name: str) -> None:
    assert check_name(name) == name


@given(st.text(max_size=70))
def test_any_other_name_is_refused_by_its_field(name: str) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    if 1 <= len(name) <= 63 and name[0] in letters and all(char in letters + "._-" for char in name):
        assert check_name(name, "pool") == name
    else:
        error = refusal(lambda: check_name(name, "pool"))
        assert isinstance(error, Invalid)
        assert (error.code, error.field) == ("invalid_pool", "pool")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused_with_what_a_good_one_is_made_of(name: str) -> None:
    error = refusal(lambda: check_name(name))
    assert (error.code, error.field) == ("invalid_name", "name")
    assert "a-z 0-9" in (error.accepted or "")


def test_a_refusal_does_not_repeat_a_long_name() -> None:
    assert len(refusal(lambda: check_name("x" * 100_000)).message) < 200
    assert len(refusal(lambda: check_node(replace(NODE, region="x" * 100_000))).message) < 200


@given(
    st.sampled_from(ResourceClass),
    st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True),
    st.integers(1, SLOTS_MAX),
    st.none() | st.just("pool"),
)
def test_a_machine_of_a_known_class_with_slots_is_accepted_unchanged(
    resource_class: ResourceClass, region: str, slots: int, pool: str | None
) -> None:
    node = NodeSpec("n", resource_class.value, region, slots, pool)
    assert check_node(node) == node


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        *(({"name": name}, "invalid_name", "name") for name in BAD_NAMES),
        *(({"pool": name}, "invalid_pool", "pool") for name in BAD_NAMES),
        *(({"resource_class": name}, "invalid_resource_class", "resource_class") for name in ("", "gpu", "FOG")),
        *(({"region": name}, "invalid_region", "region") for name in ("", "North", "a/b", "a_b", "a\n", "ü", "a" * 33)),
        *(({"slots": slots}, "invalid_slots", "slots") for slots in (0, -1, SLOTS_MAX + 1)),
    ],
)
def test_a_machine_that_cannot_be_is_refused_by_its_field(changes: dict[str, Any], code: str, field: str) -> None:
    error = refusal(lambda: check_node(replace(NODE, **changes)))
    assert isinstance(error, Invalid)
    assert (error.code, error.field) == (code, field)
    assert error.accepted
