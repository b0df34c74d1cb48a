"""Requests of all tiers at once at 80% of what the node can do: who waits, and whether everybody is served."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean, quantiles

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.rates import OwnLimits
from backend.domain.tiers import TierName
from backend.services import api_keys, rates
from tests.load import scenarios, wishes
from tests.performance.bench import Bench
from tests.performance.heavy_model import write_heavy
from tests.performance.rows import Row, Target
from tests.performance.system import System

MODEL = "heavy"
CAPACITY_USERS, CAPACITY_S = 32, 6
USERS, SECONDS = 160, 15  # so many that those who wait for an answer leave enough who ask
LOAD = 0.8  # of capacity
ROUNDS = 2
ENTERPRISE_TO_SMALL_MAX = 0.5
SHARE_MIN = 0.5  # of the average: with less, a tier would be left behind when the machine is slower than it was
NO_LIMIT = OwnLimits(1_000_000, 1_000_000_000, 10_000)

Answers = Mapping[str, list[float]]


def run(bench: Bench) -> Iterator[Row]:
    """All processes are real, and the clients are Locust's; each tier sends a quarter of the requests.

    They share two cores, so the model is one that keeps a core busy for about 10 ms a request: the node is what is
    short, not the gateway or the clients. Capacity is what users of all tiers get who send one request after another.
    """
    with bench.system() as system, tempfile.TemporaryDirectory() as folder:
        system.market.register(MODEL, write_heavy(Path(folder) / "heavy.onnx"))
        key = _unlimited_key(system)
        report = Path(folder) / "answers.json"
        _load(system, key, report, 8, 2, {wishes.PAUSE: "0"})  # leases are opened, and the model is loaded
        full_per_s, answers = [], _none()
        for _ in range(ROUNDS):  # whatever else the machine does, it does to both
            full = _load(system, key, report, CAPACITY_USERS, CAPACITY_S, {wishes.PAUSE: "0"})
            full_per_s.append(_count(full) / CAPACITY_S)
            rate_per_s = full_per_s[-1] * LOAD / USERS
            loaded = _load(system, key, report, USERS, SECONDS, {wishes.RATE: str(rate_per_s)})
            answers = {tier: answered + loaded[tier] for tier, answered in answers.items()}
            bench.step()
    yield from _rows(answers, mean(full_per_s))


def _none() -> Answers:
    return {tier.value: [] for tier in TierName}


def _unlimited_key(system: System) -> str:
    """A key of the buyer's that no limit of requests holds back."""
    app, buyer = system.market.app, system.market.buyer.account_id
    key = api_keys.create_key(app.uow(), utc_now(), buyer, Role.USER, "mixed")
    rates.set_limits(app.uow(), utc_now(), Principal(None, buyer, Role.ADMIN), key.key_id, NO_LIMIT)
    return key.secret


def _load(system: System, key: str, report: Path, users: int, seconds: int, pace: Mapping[str, str]) -> Answers:
    """Milliseconds of the answers by tier; raises RuntimeError when one was not to be expected, or a tier had none."""
    wanted = {**pace, wishes.REPORT: str(report), wishes.MODEL: MODEL}
    if scenarios.run("mixed_tiers", system.url, key, users, seconds, wanted, quiet=True):
        raise RuntimeError("an answer was not to be expected, or a tier had none")
    answers: Answers = json.loads(report.read_text())
    return answers


def _count(answers: Answers) -> int:
    return sum(map(len, answers.values()))


def _rows(answers: Answers, capacity_per_s: float) -> Iterator[Row]:
    p95_ms = {tier: quantiles(answered, n=20, method="inclusive")[-1] for tier, answered in answers.items()}
    small_ms = p95_ms[TierName.SMALL]
    per_s = _count(answers) / (ROUNDS * SECONDS)
    yield Row(
        "mixed_load", per_s, "requests/s of all tiers", "requests/s at most", capacity_per_s, per_s / capacity_per_s
    )
    for tier in TierName:
        yield Row(
            f"mixed_{tier}_p95",
            p95_ms[tier],
            "ms, p95",
            "ms of tier small, p95",
            small_ms,
            p95_ms[tier] / small_ms,
            Target("ratio", "≤", ENTERPRISE_TO_SMALL_MAX) if tier is TierName.ENTERPRISE else None,
        )
    fewest, fair = min(map(len, answers.values())), _count(answers) / len(answers)
    yield Row(
        "mixed_fewest",
        fewest,
        "answers of the tier with the fewest",
        "of a tier on average",
        fair,
        fewest / fair,
        Target("ratio", "≥", SHARE_MIN),
    )
