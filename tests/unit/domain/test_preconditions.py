"""What clients know already, as they say it."""

import pytest

from backend.domain.preconditions import Conditions, PreconditionFailed

TAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "knows"),
    [
        (None, False),
        ("", False),
        ("*", True),
        (TAG, True),
        (f"W/{TAG}", True),
        (f'"x", {TAG}', True),
        ('"x"', False),
        ("abc", False),
        ('"abc', False),
        ('"x,abc"', False),
        ('"ABC"', False),
    ],
)
def test_a_client_knows_the_file_whose_tag_it_names(header: str | None, knows: bool) -> None:
    assert Conditions(if_none_match=header).knows(TAG) is knows


@pytest.mark.parametrize("header", [None, "*", TAG, f'"x" , {TAG}'])
def test_a_match_may_be_any_or_one_of_several(header: str | None) -> None:
    Conditions(if_match=header).check_match(TAG)


@pytest.mark.parametrize("header", ["", '"x"', f"W/{TAG}", "abc"])
def test_what_matches_nothing_is_refused_with_the_tag_that_there_is(header: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        Conditions(if_match=header).check_match(TAG)
    assert (refused.value.field, refused.value.accepted) == ("If-Match", TAG)


@pytest.mark.parametrize(
    ("if_range", "asked"),
    [
        (None, True),
        (TAG, True),
        (f"W/{TAG}", False),
        ('"x"', False),
        ("Tue, 24 Nov 2026 00:00:00 GMT", False),
    ],
)
def test_a_range_is_of_the_file_that_the_client_knows(if_range: str | None, asked: bool) -> None:
    assert Conditions(if_range=if_range, range="bytes=1-2").range_of(TAG) == ("bytes=1-2" if asked else None)
