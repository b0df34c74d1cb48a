"""References, aliases, tags, stages and filters of the model registry."""

import itertools

import pytest

from backend.domain.errors import Conflict, Invalid
from backend.domain.registry import (
    DESCRIPTION_CHARS_MAX,
    MOVES,
    SEARCH_CHARS_MAX,
    TAG_CHARS_MAX,
    TAGS_MAX,
    ModelFilter,
    Stage,
    check_alias,
    check_description,
    check_model_name,
    check_move,
    merge_tags,
    parse_stage,
    parse_version,
    split_reference,
)


@pytest.mark.parametrize(
    ("reference", "parts"),
    [("digits", ("digits", None)), ("digits@best", ("digits", "best")), ("a@", ("a", "")), ("a@b@c", ("a", "b@c"))],
)
def test_a_reference_is_a_name_and_perhaps_an_alias(reference: str, parts: tuple[str, str | None]) -> None:
    assert split_reference(reference) == parts


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("12", 12), ("0", None), ("-1", None), ("", None), ("²", None), ("9" * 10, None)]
)
def test_a_version_in_a_path_is_a_number_from_one_up(text: str, number: int | None) -> None:
    assert parse_version(text) == number


@pytest.mark.parametrize("alias", ["", "latest", "1", "A", "a b", "a@b", "-a", "a" * 64, "é"])
def test_what_cannot_be_typed_or_is_taken_for_a_version_is_no_alias(alias: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_alias(alias)
    assert (refused.value.code, refused.value.field) == ("invalid_alias", "alias")


def test_words_are_aliases() -> None:
    assert [check_alias(alias) for alias in ("champion", "a", "v1.2-rc_1", "a" * 63)]


def test_a_version_goes_from_stage_to_stage_only_as_the_table_says() -> None:
    for now, to in itertools.product(Stage, Stage):
        if to in MOVES[now]:
            check_move(now, to)
        else:
            with pytest.raises(Conflict) as refused:
                check_move(now, to)
            assert refused.value.code == "stage_move_refused"
            assert refused.value.accepted == ", ".join(MOVES[now])


def test_production_is_reached_from_staging_only() -> None:
    assert [stage for stage in Stage if Stage.PRODUCTION in MOVES[stage]] == [Stage.STAGING]
    assert parse_stage("production") is Stage.PRODUCTION
    with pytest.raises(Invalid, match="live"):
        parse_stage("live")


def test_tags_are_set_changed_and_taken_away() -> None:
    assert merge_tags({"a": "1", "b": "2"}, {"b": "3", "a": None, "c": "", "d": None}) == {"b": "3", "c": ""}


@pytest.mark.parametrize(
    "changes",
    [
        {"": "1"},
        {"A": "1"},
        {"A": None},
        {"a b": "1"},
        {"a": "1\n2"},
        {"a": "x" * (TAG_CHARS_MAX + 1)},
        {f"k{number}": "" for number in range(TAGS_MAX + 1)},
    ],
)
def test_tags_that_nobody_could_type_or_read_are_refused(changes: dict[str, str | None]) -> None:
    with pytest.raises(Invalid) as refused:
        merge_tags({}, changes)
    assert refused.value.code == "invalid_tags"


def test_a_description_is_text_in_lines() -> None:
    assert check_description("two\nlines") == "two\nlines"
    for wrong in ("x" * (DESCRIPTION_CHARS_MAX + 1), "\x00", "\x1b[31m"):
        with pytest.raises(Invalid, match="description"):
            check_description(wrong)


def test_a_filter_asks_for_what_there_can_be() -> None:
    ModelFilter().check()
    ModelFilter("dig", "team=vision", "production", "FP32", "onnx", "numbers").check()
    ModelFilter(datatype="BYTES").check()
    for wrong, field in (
        (ModelFilter(stage="live"), "stage"),
        (ModelFilter(datatype="FP8"), "datatype"),
        (ModelFilter(format="gguf"), "format"),
        (ModelFilter(prefix=""), "prefix"),
        (ModelFilter(text="x" * (SEARCH_CHARS_MAX + 1)), "search"),
    ):
        with pytest.raises(Invalid) as refused:
            wrong.check()
        assert (refused.value.code, refused.value.field) == (f"invalid_{field}", field)


def test_a_models_name_is_a_name() -> None:
    check_model_name("digits-2.1")
    with pytest.raises(Invalid, match="cannot be a name"):
        check_model_name("digits@best")
