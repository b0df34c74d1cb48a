"""Tables fit their terminal, however narrow it is, and show ids whole."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from rich.console import Console

from backend.cli.output import figures, identity, record, table, text, words
from backend.cli.printable import printable

ID = UUID("0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")


def drawn(shown: object, width: int = 100) -> list[str]:
    """What a terminal of that width shows."""
    console = Console(width=width, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(shown)
    return capture.get().splitlines()


def test_ids_are_shown_whole_however_narrow_the_terminal_is() -> None:
    made = table([identity("Order"), words("State"), figures("Charged")], [(ID, "expired: no_capacity", "0.000000001")])
    lines = drawn(made, width=60)
    assert any(str(ID) in line for line in lines)
    assert all(len(line) <= 60 for line in lines)


def test_a_table_that_would_fold_words_to_letters_shows_a_fact_a_line_with_nothing_cut_off() -> None:
    columns = [identity("Epoch"), words("Market"), words("Verdict"), figures("Price"), figures("Paid")]
    row = (ID, "dedicated/north", "equal", "0.250000000", "1000.000000000")
    made = table(columns, [row, row], "Clearings")
    assert drawn(made, width=100)[1].split() == ["Epoch", "Market", "Verdict", "Price", "Paid"]
    title, *lines = [line.rstrip() for line in drawn(made, width=70)]
    assert title == "Clearings"
    facts = [f"Epoch    {ID}", "Market   dedicated/north", "Verdict  equal", "Price    0.250000000"]
    facts += ["Paid     1000.000000000"]
    assert lines == [*facts, "", *facts]


def test_a_table_without_rows_says_so_below_its_head() -> None:
    assert [line.strip() for line in drawn(table([words("Name"), figures("Ask")], []))][-1] == "none"
    assert "none" not in "".join(drawn(table([words("Name"), figures("Ask")], [("a", "1")])))


def test_amounts_line_up_at_the_right() -> None:
    lines = drawn(table([words("Name"), figures("Wallet")], [("a", "1.000000000"), ("b", "100.000000000")]))
    assert len({len(line.rstrip()) for line in lines[2:]}) == 1


def test_markup_in_a_value_is_shown_as_it_is() -> None:
    assert any("[bold]x[/bold]" in line for line in drawn(record({"label": "[bold]x[/bold]"})))


ESCAPE = "\x1b]0;mine\x07"  # names the window of whoever reads it


@pytest.mark.parametrize(
    "shown",
    [record({"label": ESCAPE}), record({ESCAPE: 1}), record({"label": [ESCAPE]}), table([words(ESCAPE)], [(ESCAPE,)])],
)
def test_no_value_commands_the_terminal_that_shows_it(shown: object) -> None:
    lines = "\n".join(drawn(shown))
    assert "\x1b" not in lines
    assert "\x07" not in lines
    assert r"\x1b]0;mine\x07" in lines


def test_letters_of_all_writings_and_lines_are_shown_as_they_are() -> None:
    for written in ("naïve 漢字\u3000かな", "a\u00a0b", "two\nlines", "a\tb", "🤖"):
        assert printable(written) == written
    assert printable("\u202egpj.exe") == r"\u202egpj.exe", "which would be read from its end"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (True, "yes"),
        (0, "0"),
        ("", ""),
        (["a", 1], "a, 1"),
        ({"a": [1]}, '{"a": [1]}'),
        (datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC), "2026-01-02 03:04:05"),
    ],
)
def test_values_read_as_people_write_them(value: object, shown: str) -> None:
    assert text(value) == shown


def test_a_share_in_parts_per_million_is_told_as_a_percentage() -> None:
    [trust, weight] = drawn(record({"trust_ppm": 50_000, "ppm_weight": 3}))
    assert trust.split() == ["trust", "5%"]
    assert weight.split() == ["ppm", "weight", "3"]
