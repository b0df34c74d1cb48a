"""CloudEvents that report usage: what is read, and what is refused with the field at fault."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.cloudevents import AGE_MAX, QUANTITY_MAX, SKEW_MAX, TEXT_CHARS_MAX, Reported, read_event, read_json
from backend.domain.errors import SwarmexError

NOW = datetime(2026, 10, 31, 12, tzinfo=UTC)


def document(**changes: Any) -> dict[str, Any]:
    whole = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/s",
        "type": "m",
        "subject": "acme",
        "time": "2026-10-31T11:00:00Z",
        "data": {"quantity": "1.5"},
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def read(**changes: Any) -> Reported:
    event = read_event(document(**changes), NOW)
    assert isinstance(event, Reported), event
    return event


def refused(**changes: Any) -> tuple[str, str | None]:
    return problem(document(**changes))


def problem(content: object) -> tuple[str, str | None]:
    error = read_event(content, NOW)
    assert isinstance(error, SwarmexError)
    assert error.accepted
    return error.code, error.field


def test_an_event_says_what_was_used_by_whom_and_when() -> None:
    event = read()
    assert event.key == ("/s", "e1")
    assert (event.meter, event.subject, event.quantity_micro) == ("m", "acme", 1_500_000)
    assert event.occurred_at == NOW - timedelta(hours=1)


def test_without_a_time_it_was_now_and_is_the_same_event_when_sent_later() -> None:
    first = read(time=None)
    assert first.occurred_at == NOW
    later = read_event(document(time=None), NOW + timedelta(minutes=1))
    assert isinstance(later, Reported)
    assert later.digest == first.digest
    assert read().digest != first.digest


@pytest.mark.parametrize(
    "changes", [{"data": {"quantity": "2"}}, {"type": "n"}, {"subject": "b"}, {"time": "2026-10-31T11:00:01Z"}]
)
def test_what_is_billed_tells_events_apart(changes: dict[str, Any]) -> None:
    assert read(**changes).digest != read().digest


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"quantity": Decimal("1.50"), "region": "north"}},
        {"time": "2026-10-31t12:00:00.000+01:00"},
        {"traceparent": "00-1", "datacontenttype": "application/json", "dataschema": "https://example.org/usage"},
    ],
)
def test_what_is_written_otherwise_or_not_billed_does_not(changes: dict[str, Any]) -> None:
    assert read(**changes).digest == read().digest


@pytest.mark.parametrize("content", [None, 1, "text", [], [document()]])
def test_what_is_no_object_is_no_event(content: object) -> None:
    assert problem(content) == ("invalid_event", "event")


@pytest.mark.parametrize("field", ["specversion", "id", "source", "type", "subject", "data"])
def test_what_is_required_and_missing_is_named(field: str) -> None:
    assert refused(**{field: None}) == ("missing_field", field)


@pytest.mark.parametrize("field", ["id", "source", "type", "subject"])
@pytest.mark.parametrize("value", ["", "a\x00b", "\ud800", "x" * (TEXT_CHARS_MAX + 1), 7, ["a"], {"a": 1}])
def test_a_text_that_cannot_be_kept_is_refused(field: str, value: object) -> None:
    assert refused(**{field: value}) == (f"invalid_{field}", field)


@pytest.mark.parametrize("version", ["0.3", "1", 1.0, ""])
def test_only_version_1_0_is_spoken(version: object) -> None:
    assert refused(specversion=version) == ("invalid_specversion", "specversion")


@pytest.mark.parametrize(
    "time",
    [
        "",
        "yesterday",
        "2026-10-31",
        "2026-10-31T11:00:00",
        "2026-10-31 11:00:00Z",
        "2026-02-30T11:00:00Z",
        "2026-10-31T23:59:60Z",
        "0001-01-01T00:00:00+14:00",
        "2026-10-31T11:00:00+0100",
        1_793_448_000,
        True,
    ],
)
def test_a_time_is_rfc_3339(time: object) -> None:
    assert refused(time=time) == ("invalid_time", "time")


def test_a_time_is_not_ahead_by_more_than_a_fast_clock_nor_longer_ago_than_a_bill_is_of_use() -> None:
    second = timedelta(seconds=1)
    assert read(time=(NOW + SKEW_MAX).isoformat()).occurred_at == NOW + SKEW_MAX
    assert read(time=(NOW - AGE_MAX).isoformat()).occurred_at == NOW - AGE_MAX
    assert refused(time=(NOW + SKEW_MAX + second).isoformat()) == ("time_in_future", "time")
    assert refused(time=(NOW - AGE_MAX - second).isoformat()) == ("time_too_old", "time")


@pytest.mark.parametrize("kind", ["application/json", "text/json; charset=utf-8", "Application/Usage+JSON", None])
def test_data_that_are_json_by_their_media_type_are_read(kind: str | None) -> None:
    assert read(datacontenttype=kind).digest == read().digest


@pytest.mark.parametrize("kind", ["text/xml", "json", "", "/json", "application/jsonl", 1, ["application/json"]])
def test_data_that_are_something_else_by_their_media_type_are_refused(kind: object) -> None:
    assert refused(datacontenttype=kind) == ("invalid_datacontenttype", "datacontenttype")


@pytest.mark.parametrize("data", [None, {"quantity": "1"}])
def test_data_in_base_64_are_refused_whatever_stands_beside_them(data: object) -> None:
    assert refused(data=data, data_base64="eyJxdWFudGl0eSI6IDF9") == ("invalid_data_base64", "data_base64")


@pytest.mark.parametrize("data", ["1.5", 1.5, [], [{"quantity": "1"}]])
def test_data_is_an_object(data: object) -> None:
    assert refused(data=data) == ("invalid_data", "data")


@pytest.mark.parametrize(
    ("quantity", "micro"),
    [
        ("0", 0),
        (0, 0),
        (Decimal("0.0"), 0),
        (Decimal("0E-400"), 0),
        ("0.000001", 1),
        (Decimal("0.000001"), 1),
        (Decimal("1E-6"), 1),
        ("007.5", 7_500_000),
        (Decimal("1.500000000"), 1_500_000),
        (12, 12_000_000),
        (Decimal("1E+12"), QUANTITY_MAX * 10**6),
        (QUANTITY_MAX, QUANTITY_MAX * 10**6),
        (str(QUANTITY_MAX), QUANTITY_MAX * 10**6),
    ],
)
def test_a_quantity_is_exact(quantity: object, micro: int) -> None:
    assert read(data={"quantity": quantity}).quantity_micro == micro


@pytest.mark.parametrize(
    "quantity",
    [
        "",
        "-1",
        "+1",
        "1e3",
        "1,5",
        " 1",
        "0.0000001",
        "NaN",
        "Infinity",
        "\u0661",  # a digit, but not ours
        -1,
        1.5,
        True,
        QUANTITY_MAX + 1,
        f"{QUANTITY_MAX}.000001",
        pytest.param(10**5_000, id="more digits than Python writes"),
        Decimal("1E-7"),
        Decimal("1.0000001"),
        Decimal("-0.1"),
        Decimal("1E+13"),
        Decimal("1E+999999999"),
        Decimal("1E-999999999"),
        Decimal("1." + "0" * 100 + "1"),
        Decimal("0.1" + "3" * 50),
        ["1"],
    ],
)
def test_what_is_no_quantity_is_refused(quantity: object) -> None:
    assert refused(data={"quantity": quantity}) == ("invalid_quantity", "data.quantity")


def test_a_quantity_that_is_missing_is_named() -> None:
    assert refused(data={}) == ("missing_field", "data.quantity")


def test_json_is_read_without_floats() -> None:
    assert read_json('[0.1, 1e3, 7, "x"]') == [Decimal("0.1"), Decimal("1E+3"), 7, "x"]
    assert read_json(b'{"a": 1.10}') == {"a": Decimal("1.10")}


@pytest.mark.parametrize("content", ["", "{", "NaN", "[Infinity]", b"\xff\xff", "[" * 100_000, "1" * 5_000])
def test_what_is_no_json_is_a_value_error(content: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_json(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*document(), "quantity"]), json_values))
def test_whatever_a_sender_writes_is_read_or_refused_with_a_field(changes: dict[str, Any]) -> None:
    event = read_event(document() | changes, NOW)
    assert isinstance(event, Reported) or (event.field and event.code and event.accepted)
