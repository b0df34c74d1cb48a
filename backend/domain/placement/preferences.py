"""What an order prefers among the machines that suit it, in money: a soft score that breaks near ties, no more."""

import numpy as np

from backend.domain.ids import ModelId
from backend.domain.money import PPM
from backend.domain.orders import Strategy
from backend.domain.placement.machines import NOWHERE, Ints, Machines

SOFT_PPM = 50_000  # of the limit: all that preferences together may outweigh in price
MODEL_FIFTHS = 3  # of that: a machine that has the model already goes before any that only answers sooner
GRADES = 100  # best grade; limits are at most 10¹⁸ nano, so that a twentieth of one times this fits 64 bits
LATENCY_HALF_MS = 50  # a machine so far away gets half the best grade


def preference_nano(strategy: Strategy, limit_nano: int, machines: Machines, model_id: ModelId | None) -> Ints:
    """What each machine is worth to the order beside its price: 0 to SOFT_PPM of the limit, per slot-second.

    Each strategy prefers machines on which the model lies; beyond that `latency` prefers near ones, `balanced` near and
    trusted ones, `cost` none.
    """
    soft_nano = limit_nano * SOFT_PPM // PPM
    model_nano = soft_nano * MODEL_FIFTHS // 5
    worth = _grades(strategy, machines) * (soft_nano - model_nano) // GRADES
    if model_id is not None:
        worth[machines.models.get(model_id, NOWHERE)] += model_nano
    return worth


def _grades(strategy: Strategy, machines: Machines) -> Ints:
    """0 to GRADES of each machine, whatever other machines there are."""
    if strategy is Strategy.COST:
        return np.zeros(len(machines), np.int64)
    near = GRADES * LATENCY_HALF_MS // (LATENCY_HALF_MS + machines.latency_ms)
    if strategy is Strategy.LATENCY:
        return near
    return (near + GRADES * machines.trust_ppm // PPM) // 2
