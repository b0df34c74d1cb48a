"""A simulated day as a document and as tables."""

from typing import TYPE_CHECKING, Any

from rich.table import Table

from backend.cli.output import NONE, figures, table, words
from backend.domain.money import PPM, format_credits

if TYPE_CHECKING:  # see `simulate`
    from backend.domain.simulation import Simulation, Span, TierOutcome

Document = dict[str, Any]


def document(done: "Simulation", by_hour: "tuple[Span, ...]", seed: int) -> Document:
    """Everything that is told of a day."""
    day = done.day
    return {
        "seed": seed,
        "hours": day.hours,
        "step_s": day.step_s,
        "orders_per_hour": day.orders_per_hour,
        "nodes": day.nodes,
        "slots": day.slots,
        "mechanism": day.mechanism,
        "peak_hour": day.peak_hour,
        "swing": day.swing,
        "surge": day.surge
        and {"starts_s": day.surge.starts_s, "lasts_s": day.surge.lasts_s, "factor": day.surge.factor},
        "totals": _totals(done),
        "by_tier": [_tier(outcome) for outcome in done.totals.tiers],
        "by_hour": [_span(span) for span in by_hour],
    }


def _totals(done: "Simulation") -> Document:
    totals = done.totals
    return {
        "orders": totals.orders,
        "slots_wanted": totals.arrived_slots,
        "slots_traded": totals.traded_slots,
        "slots_given_up": totals.expired_slots,
        "slots_waiting": totals.waiting_slots,
        "unserved": _share(totals.unserved_ppm),
        "utilisation": _share(totals.utilisation_ppm),
        "welfare": _share(totals.welfare_ppm),
        "surplus": format_credits(totals.surplus_nano),
        "surplus_bound": format_credits(totals.surplus_max_nano),
        "paid": format_credits(totals.spent_nano),
        "earned": format_credits(totals.earned_nano),
        "kept_by_market": format_credits(totals.spent_nano - totals.earned_nano),
    }


def totals_shown(done: "Simulation") -> Document:
    """The day in figures as people read them: shares as percentages."""
    return {name: f"{fact:.1%}" if isinstance(fact, float) else fact for name, fact in _totals(done).items()}


def _tier(outcome: "TierOutcome") -> Document:
    return {
        "tier": outcome.tier.value,
        "orders": outcome.orders,
        "slots_wanted": outcome.arrived_slots,
        "slots_traded": outcome.traded_slots,
        "slots_given_up": outcome.expired_slots,
        "wait_s": None if outcome.wait_s is None else round(outcome.wait_s, 1),
    }


def _span(span: "Span") -> Document:
    return {
        "starts_s": span.starts_s,
        "orders": span.orders,
        "spot_price": format_credits(span.spot_nano),
        "price": None if span.price_nano is None else format_credits(span.price_nano),
        "utilisation": _share(span.utilisation_ppm),
        "slots_waiting": span.waiting_slots,
        "slots_traded": span.traded_slots,
        "slots_given_up": span.expired_slots,
        "welfare_per_s": format_credits(span.welfare_nano_per_s),
        "optimum_per_s": format_credits(span.optimum_nano_per_s),
        "welfare": _share(span.welfare_ppm),
    }


def _share(ppm: int) -> float:
    return ppm / PPM


def hours_table(by_hour: "tuple[Span, ...]") -> Table:
    """The day in lines, one an hour."""
    columns = [
        words("From"),
        figures("Orders"),
        figures("Spot price"),
        figures("Price paid"),
        figures("Used"),
        figures("Traded"),
        figures("Waiting"),
        figures("Gave up"),
        figures("Welfare"),
    ]
    rows = [
        (
            _clock(span.starts_s),
            span.orders,
            format_credits(span.spot_nano),
            NONE if span.price_nano is None else format_credits(span.price_nano),
            f"{span.utilisation_ppm / PPM:.0%}",
            span.traded_slots,
            span.waiting_slots,
            span.expired_slots,
            f"{span.welfare_ppm / PPM:.1%}",
        )
        for span in by_hour
    ]
    return table(columns, rows, "Hour by hour: credits per slot-second, slots")


def _clock(seconds: int) -> str:
    days, hour = divmod(seconds // 3_600, 24)
    return f"{hour:02}:00" if not days else f"{hour:02}:00 +{days}"


def tiers_table(outcomes: "tuple[TierOutcome, ...]") -> Table:
    """What became of each tier's orders."""
    columns = [
        words("Tier"),
        figures("Orders"),
        figures("Slots wanted"),
        figures("Traded"),
        figures("Given up"),
        figures("Mean wait, s"),
    ]
    return table(columns, [tuple(_tier(outcome).values()) for outcome in outcomes])
