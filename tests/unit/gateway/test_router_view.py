"""Figures of the router: one row per model and tier, whoever pays."""

from dataclasses import replace
from random import Random

from backend.domain.access import Spender
from backend.domain.ids import AccountId
from backend.gateway.routing.line import Line
from backend.gateway.routing.router_view import RouterFigures, router_figures
from backend.storage.ids import new_id
from tests.unit.gateway.leased import KEY, session

NOW_S = 50.0


def test_lines_of_all_buyers_are_one_row_per_model_and_tier() -> None:
    another = replace(KEY, spender=Spender(AccountId(new_id())))
    lines = [Line(key, lambda _: False, Random(1)) for key in (KEY, another, replace(KEY, tier="large"), KEY, KEY)]
    for line, leases in zip(lines, (2, 1, 1, 0, 0), strict=True):
        for number in range(leases):
            line.add(session(f"n{number}"))
    lines[0].sessions[1].target.health.eject(NOW_S)
    lines[0].sessions[0].target.served(0.2, NOW_S)
    lines[1].sessions[0].target.served(0.1, NOW_S)
    with lines[0].sessions[0].target.asked(NOW_S):
        assert router_figures(lines, NOW_S) == [
            RouterFigures("digits", "large", lines=1, leases=1),
            RouterFigures("digits", "medium", lines=2, leases=3, resting=1, ejected=1, in_flight=1, ewma_s=0.2),
        ]
