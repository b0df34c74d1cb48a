"""Batches: windows, metadata and what it asks of the market."""

import pytest

from backend.domain.batches import BatchOptions, check_metadata, parse_window, read_options
from backend.domain.errors import Invalid


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86_400), ("1h", 3_600), ("90m", 5_400), ("60s", 60)])
def test_a_window_is_a_day_or_less(text: str, seconds: int) -> None:
    assert parse_window(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "25h", "59s", "1d", "0h", "1.5h", "-1h", "\uff11h", "999999h"])
def test_any_other_window_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_window(text)


def test_metadata_is_up_to_sixteen_texts() -> None:
    assert check_metadata(None) == {}
    assert check_metadata({"a": "b"}) == {"a": "b"}
    refused: list[object] = [[], {1: "a"}, {"a": 1}, {"": "a"}, {"k" * 65: ""}, {"a": "v" * 513}, {"a": "\x00"}]
    for wrong in refused:
        with pytest.raises(Invalid):
            check_metadata(wrong)
    with pytest.raises(Invalid):
        check_metadata({str(n): "" for n in range(17)})


def test_what_is_named_after_us_is_read_and_the_rest_is_the_users() -> None:
    asked = {"tier": "small", "priority": "latency", "slots": "3", "max_budget": "1.5", "limit": "0.1", "region": "eu"}
    options, webhook = read_options(
        {f"swarmex_{name}": value for name, value in asked.items()}
        | {"mine": "yes", "swarmex_webhook": "https://example.com/x"}
    )
    assert options == BatchOptions("small", "latency", 3, 1_500_000_000, 100_000_000, "eu")
    assert webhook == "https://example.com/x"
    assert read_options({"mine": "yes"}) == (BatchOptions(), None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", "red"),
        ("priority", "soon"),
        ("slots", "0"),
        ("slots", "many"),
        ("max_budget", "1e9"),
        ("limit", "0"),
        ("webhook", "example.com"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_the_name_of_its_entry(name: str, value: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_options({f"swarmex_{name}": value})
    assert refused.value.field == f"metadata.swarmex_{name}"
