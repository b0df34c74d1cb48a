"""Meters and usage from the command line."""

import json
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from backend.bootstrap import new_id
from backend.cli import event_files, usage
from backend.services import audit
from tests.integration.cli.runner import Cli
from tests.market import Market

METER = "storage.gb_hours"


def event(number: int, quantity: object = "2", **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "/storage",
        "type": METER,
        "subject": "buyer",
        "data": {"quantity": quantity},
    } | changes


def write(folder: Path, *documents: object) -> Path:
    """A file with a document a line; text as it is."""
    path = folder / "events.jsonl"
    path.write_text("".join((d if isinstance(d, str) else json.dumps(d)) + "\n" for d in documents))
    return path


@pytest.fixture
def meter(cli: Cli, market: Market) -> dict[str, Any]:
    """A meter that pays the provider."""
    return dict(cli.json("meter", "add", METER, "--unit", "GB hours", "--price", "0.001", "--provider", "provider"))


def test_a_meter_is_added_listed_and_priced(cli: Cli, meter: dict[str, Any], market: Market) -> None:
    assert (meter["price"], meter["version"]) == ("0.001000000", 1)
    assert cli.json("meter", "list") == [meter]
    assert METER in cli.run("meter", "list").out
    assert "0.001000000" in cli.run("meter", "prices", METER).out
    later = cli.json("meter", "price", METER, "0.002", "--from", "2099-01-01")
    assert later["price"]["valid_from"] == "2099-01-01T00:00:00+00:00"
    assert cli.json("meter", "list") == [meter]
    assert [version["price"] for version in cli.json("meter", "prices", METER)] == ["0.001000000", "0.002000000"]
    assert "0 events corrected" in cli.run("meter", "price", METER, "0.003").out
    of_the_market = cli.json("meter", "add", "gratis", "--unit", "calls", "--price", "0")
    assert (of_the_market["provider"], of_the_market["price"]) == (None, "0.000000000")


def test_a_meter_that_cannot_be_is_refused(cli: Cli, meter: dict[str, Any]) -> None:
    add = ("meter", "add", "--unit", "u", "--price")
    assert cli.refused(*add, "1", METER) == ("meter_exists", "name")
    assert cli.refused(*add, "1", "a b") == ("invalid_name", "name")
    assert cli.refused(*add, "1e3", "m") == ("invalid_amount", "price")
    assert cli.refused(*add, "1", "m", "--provider", "nobody") == ("unknown_account", "account")
    assert cli.refused("meter", "price", "nothing", "1") == ("unknown_meter", "meter")
    assert cli.refused("meter", "price", METER, "1", "--from", "soon") == ("invalid_time", "from")
    assert cli.refused("meter", "prices", "nothing") == ("unknown_meter", "meter")
    assert cli.refused("meter", "rerate", "nothing") == ("unknown_meter", "meter")


def test_a_file_is_imported_once_however_often(
    cli: Cli, meter: dict[str, Any], market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "BATCH", 3)
    path = write(tmp_path, *(event(number) for number in range(7)), "", event(7, subject="provider"))
    none = {"free": 0, "refused": 0, "refusals": []}
    first, again = cli.json("usage", "import", path), cli.json("usage", "import", path)
    assert first == {"events": 8, "charged": 7, "unpaid": 1, "duplicate": 0, **none}
    assert again == {"events": 8, "charged": 0, "unpaid": 0, "duplicate": 8, **none}
    assert "duplicate" in cli.run("usage", "import", path).out
    assert cli.json("account", "show", "buyer")["wallet"] == "999.986000000"
    assert audit.audit_ledger(market.app.uow()).ok


def test_an_import_of_ten_thousand_events_that_was_cut_off_is_gone_on_with_and_shows_how_far_it_is(
    cli: Cli, meter: dict[str, Any], market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(tmp_path, *(event(number, "0.01") for number in range(10_000)))
    part = tmp_path / "part.jsonl"
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    first = cli.run("usage", "import", part, "--json").document
    assert first["charged"] == first["events"] - 1
    assert [refusal["code"] for refusal in first["refusals"]] == ["invalid_json"]  # the line that was cut in two
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    done = cli.run("usage", "import", whole, "--json")
    assert (done.code, done.document["refused"], done.document["duplicate"]) == (0, 0, first["charged"])
    assert done.document["charged"] == 10_000 - first["charged"]
    assert "events" in done.err
    assert cli.json("account", "show", "buyer")["wallet"] == "999.900000000"
    assert audit.audit_ledger(market.app.uow()).ok


def test_what_a_file_has_that_is_no_event_is_told_by_its_line_and_the_rest_is_billed(
    cli: Cli, meter: dict[str, Any], tmp_path: Path
) -> None:
    path = write(tmp_path, event(1), "{", event(2, "-1"), '{"id": NaN}', event(3), event(3, "5"))
    done = cli.run("usage", "import", path, "--json")
    assert done.code == 1
    assert (done.document["charged"], done.document["refused"]) == (2, 4)
    told = [(r["number"], r["code"], r["field"]) for r in done.document["refusals"]]
    assert told == [
        (2, "invalid_json", None),
        (3, "invalid_quantity", "data.quantity"),
        (4, "invalid_json", None),
        (6, "event_reused", "id"),
    ]
    assert all(r["message"] and r["accepted"] for r in done.document["refusals"])
    plain = cli.run("usage", "import", path)
    assert plain.code == 1
    assert "invalid_quantity" in plain.out


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\r\n \n"], ids=["plain", "marked", "after empty lines"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("many", [True, False], ids=["array", "event"])
def test_a_document_is_read_however_it_is_written(
    cli: Cli, meter: dict[str, Any], tmp_path: Path, before: bytes, indent: int | None, many: bool
) -> None:
    path = tmp_path / "events.json"
    path.write_bytes(before + json.dumps([event(1)] if many else event(1), indent=indent).encode() + b"\n\n")
    assert cli.json("usage", "import", path)["charged"] == 1


def test_what_an_import_leaves_unpaid_is_pointed_at(cli: Cli, meter: dict[str, Any], tmp_path: Path) -> None:
    done = cli.run("usage", "import", write(tmp_path, event(1, subject="provider")))
    assert "usage list --state unpaid" in done.err
    assert cli.run("usage", "import", write(tmp_path, event(2))).err == ""


def test_an_array_and_standard_input_are_imported_too(
    cli: Cli, meter: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.json"
    path.write_text(json.dumps([event(1), event(2)], indent=2))
    assert cli.run("usage", "import", path, "--json").document["charged"] == 2
    content = json.dumps(event(2)) + "\n" + json.dumps(event(3))
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(content.encode())))
    done = cli.run("usage", "import", "-", "--json").document
    assert (done["charged"], done["duplicate"]) == (1, 1)


def test_a_file_that_cannot_be_read_is_refused(
    cli: Cli, meter: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_files, "LINE_BYTES_MAX", 1_000)
    monkeypatch.setattr(event_files, "DOCUMENT_BYTES_MAX", 2_000)
    assert cli.refused("usage", "import", tmp_path / "absent") == ("invalid_file", "file")
    assert cli.refused("usage", "import", tmp_path) == ("invalid_file", "file")
    assert cli.refused("usage", "import", write(tmp_path, "[1, 2")) == ("invalid_file", "file")
    assert cli.refused("usage", "import", write(tmp_path, "{" * 1_001)) == ("invalid_file", "file")
    assert cli.refused("usage", "import", write(tmp_path, "[" + " " * 2_000 + "]")) == ("invalid_file", "file")
    empty = cli.json("usage", "import", write(tmp_path))
    assert empty["events"] == 0


def test_usage_is_listed_by_account_meter_and_state_and_page_by_page(
    cli: Cli, meter: dict[str, Any], tmp_path: Path
) -> None:
    cli.json("meter", "add", "other", "--unit", "u", "--price", "1")
    documents = [event(1), event(2), event(3, type="other"), event(4, subject="provider")]
    cli.json("usage", "import", write(tmp_path, *documents))
    listed = cli.json("usage", "list")
    assert [found["event_id"] for found in listed] == ["e4", "e3", "e2", "e1"]
    assert cli.json("usage", "list", "--account", "buyer") == listed[1:]
    assert cli.json("usage", "list", "--meter", "other") == [listed[1]]
    assert cli.json("usage", "list", "--state", "unpaid") == [listed[0]]
    assert cli.json("usage", "list", "--limit", "2", "--before", listed[0]["id"]) == listed[1:3]
    assert listed[0]["id"] in cli.run("usage", "list").out
    assert cli.refused("usage", "list", "--account", "nobody") == ("unknown_account", "account")
    assert cli.refused("usage", "list", "--before", "e4") == ("invalid_usage", "usage")


def test_a_price_of_the_past_corrects_usage_and_tells_what_it_left(
    cli: Cli, meter: dict[str, Any], market: Market, tmp_path: Path
) -> None:
    market.account("poor", 2_000_000)
    cli.json("usage", "import", write(tmp_path, event(1), event(2, subject="poor")))
    done = cli.json("meter", "price", METER, "0.003", "--from", "2026-01-01")["rerated"]
    assert (done["corrected"], done["left_count"]) == (1, 1)
    assert [left["code"] for left in done["left"]] == ["insufficient_funds"]
    told = cli.run("meter", "rerate", METER)
    assert "1 left as they were" in told.out
    assert "meter rerate" in told.err
    cli.json("deposit", "poor", "1", "--reference", "more")
    assert cli.json("meter", "rerate", METER)["left_count"] == 0
    assert cli.json("account", "show", "buyer")["wallet"] == "999.994000000"
    assert audit.audit_ledger(market.app.uow()).ok


def test_usage_is_taken_back_once(cli: Cli, meter: dict[str, Any], tmp_path: Path) -> None:
    cli.json("usage", "import", write(tmp_path, event(1)))
    [charged] = cli.json("usage", "list")
    assert cli.json("usage", "show", charged["id"]) == charged
    assert charged["account"] in cli.run("usage", "show", charged["id"]).out
    assert cli.refused("usage", "show", new_id()) == ("unknown_usage", "usage")
    void = cli.json("usage", "void", charged["id"], "--reason", "wrong account")
    assert void == {**charged, "state": "void"}
    assert cli.json("account", "show", "buyer")["wallet"] == "1000.000000000"
    assert cli.refused("usage", "void", "e1", "--reason", "r") == ("invalid_usage", "usage")
    assert cli.refused("usage", "void", charged["id"], "--reason", " ") == ("invalid_reason", "reason")
