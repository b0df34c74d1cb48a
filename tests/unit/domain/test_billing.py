"""Lines and cents: sums are exact, what rounding leaves over is carried, and words say what a line is for."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.bootstrap import new_id
from backend.domain.bill_lines import (
    CORRECTION,
    OTHER,
    REFUND,
    REVERSAL,
    SLA_CREDIT,
    USAGE,
    Movement,
    describe,
    lines_of,
)
from backend.domain.billing import (
    NANO_PER_CENT,
    DocumentKind,
    Line,
    cents_of,
    format_cents,
    format_quantity,
    number_of,
    series_of,
    totals_of,
)
from backend.domain.ids import TransferId

NANO = st.integers(-(10**18), 10**18)
MOVEMENTS = st.lists(
    st.builds(
        Movement,
        st.sampled_from(["inference", "batch", "session", USAGE, OTHER, CORRECTION, SLA_CREDIT, REFUND]),
        st.one_of(NANO, st.integers(-3 * NANO_PER_CENT, 3 * NANO_PER_CENT)),
        tier=st.sampled_from([None, "small", "large"]),
    ),
    max_size=30,
)
BATCH = Movement("batch", 5, "batch", "small", "digits", None, 2, 1_500_000, "slot-seconds")


@given(nano=NANO)
def test_cents_are_rounded_half_to_even(nano: int) -> None:
    assert cents_of(nano) == round(Fraction(nano, NANO_PER_CENT))


@pytest.mark.parametrize(
    ("nano", "cents"), [(5_000_000, 0), (5_000_001, 1), (15_000_000, 2), (-5_000_000, 0), (-15_000_000, -2), (0, 0)]
)
def test_half_a_cent_goes_to_the_even_one_on_both_sides_of_zero(nano: int, cents: int) -> None:
    assert cents_of(nano) == cents


@given(movements=MOVEMENTS, carried_in=st.integers(-2 * NANO_PER_CENT, 2 * NANO_PER_CENT))
def test_lines_add_up_to_the_movements_in_nano_and_to_the_total_in_cents(
    movements: list[Movement], carried_in: int
) -> None:
    lines = lines_of(movements, carried_in)
    totals = totals_of(lines, carried_in)
    assert totals.total_nano == sum(m.amount_nano for m in movements)
    assert [line.seq for line in lines] == list(range(1, len(movements) + 1))
    if lines or abs(carried_in) <= NANO_PER_CENT // 2:
        assert sum(line.cents for line in lines) == totals.total_cents
    assert totals.carried_in_nano + totals.total_nano == totals.total_cents * NANO_PER_CENT + totals.carried_out_nano
    assert abs(totals.carried_out_nano) <= NANO_PER_CENT // 2


@given(documents=st.lists(MOVEMENTS, max_size=8))
def test_documents_in_a_row_never_drift_from_the_ledger(documents: list[list[Movement]]) -> None:
    carried = cents = nano = 0
    for movements in documents:
        totals = totals_of(lines_of(movements, carried), carried)
        cents, nano, carried = cents + totals.total_cents, nano + totals.total_nano, totals.carried_out_nano
        assert cents * NANO_PER_CENT + carried == nano


@given(movements=MOVEMENTS)
def test_the_order_of_the_lines_does_not_hang_on_that_of_the_movements(movements: list[Movement]) -> None:
    mixed = sorted(movements, key=lambda m: (m.amount_nano, m.kind))
    described = [(line.kind, line.tier) for line in lines_of(movements, 0)]
    assert [(line.kind, line.tier) for line in lines_of(mixed, 0)] == described


def test_work_comes_first_and_what_was_given_back_last() -> None:
    kinds = [REVERSAL, REFUND, SLA_CREDIT, CORRECTION, OTHER, USAGE, "session", "batch"]
    movements = [Movement(kind, 1, workload=kind if kind in ("session", "batch") else None) for kind in kinds]
    assert [line.kind for line in lines_of(movements, 0)] == ["batch", "session", *reversed(kinds[:6])]


def test_a_line_counts_seconds_or_units_where_they_are_known_else_charges() -> None:
    [known] = lines_of([BATCH], 0)
    assert (known.quantity_micro, known.unit) == (1_500_000, "slot-seconds")
    [counted] = lines_of([Movement("batch", 5, "batch", "small", "digits", charges=3, shared=True)], 0)
    assert (counted.quantity_micro, counted.unit) == (3_000_000, "charges")
    [refund] = lines_of([Movement(REFUND, -5)], 0)
    assert (refund.quantity_micro, refund.unit) == (None, None)


def test_a_line_says_what_it_is_for() -> None:
    undone, undoing = TransferId(new_id()), TransferId(new_id())
    for movement, words in (
        (BATCH, "Batch with digits"),
        (
            Movement("batch", 5, "batch", model="digits", shared=True),
            "Batch with digits, in orders that another period shares",
        ),
        (Movement(USAGE, 5, meter="egress"), "Metered usage: egress"),
        (Movement(USAGE, 5), "Metered usage"),
        (Movement(OTHER, 5), "Other charges"),
        (Movement(CORRECTION, -5, "session", "large", "digits"), "Corrections: Session with digits"),
        (Movement(CORRECTION, -5, meter="egress"), "Corrections: egress"),
        (Movement(SLA_CREDIT, -5, "session"), "Credit for missed service levels: Session"),
        (Movement(REFUND, -5), "Refund"),
        (Movement("training_round", 5, "training_round", model="m"), "Training round with m"),
        (Movement("tribute", 5), "tribute"),
        (
            Movement(REVERSAL, -5, "batch", model="digits", transfer_id=undoing, original_id=undone),
            f"Batch with digits: transfer {undone} reversed by {undoing}",
        ),
        (
            Movement(REVERSAL, -5, transfer_id=undoing, original_id=undone),
            f"Charge: transfer {undone} reversed by {undoing}",
        ),
    ):
        assert describe(movement) == words


def test_numbers_of_a_kind_and_year_are_a_series() -> None:
    assert number_of(DocumentKind.INVOICE, 2026, 1) == "INV-2026-000001"
    assert number_of(DocumentKind.CREDIT_NOTE, 2026, 1_234_567) == "CRN-2026-1234567"
    assert series_of(DocumentKind.CREDIT_NOTE, 2027) == "CRN-2027"


def test_cents_and_quantities_are_decimal_strings() -> None:
    assert [format_cents(c) for c in (0, 5, -5, 1_234, -100)] == ["0.00", "0.05", "-0.05", "12.34", "-1.00"]
    assert [format_quantity(q) for q in (0, 1, 1_500_000, 10_000_000)] == ["0", "0.000001", "1.5", "10"]


def test_a_quantity_is_written_with_its_unit() -> None:
    for quantity, unit, words in (
        (1_500_000, "slot-seconds", "1.5 slot-seconds"),
        (1_000_000, "slot-seconds", "1 slot-second"),
        (1_000_000, "charges", "1 charge"),
        (2_000_000, "charges", "2 charges"),
        (1_000_000, "passes", "1 passes"),
        (None, None, None),
    ):
        assert Line(1, "batch", None, "", quantity, unit, 5, 0).counted == words
