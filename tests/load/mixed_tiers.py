"""Users of all four tiers at once, who send real-time requests for one model; no tier may be left without answers.

With RATE in the environment each sends so many requests a second, at random moments, whether or not the market keeps
up; else one after the other, with PAUSE between them or none. With REPORT, a file of that name gets the milliseconds of
all answers, by tier.
"""

import json
import os
import time
from pathlib import Path
from random import Random
from typing import Any

from locust import events, task
from locust.env import Environment

from backend.domain.tiers import TierName
from tests.load.user import MarketUser
from tests.load.wishes import PAUSE, RATE, REPORT

PAUSE_S = "0.03"

chance = Random(0)
answers_ms: dict[str, list[float]] = {tier.value: [] for tier in TierName}


class TierUser(MarketUser):
    """Sends requests in its tier."""

    abstract = True
    _next_s = 0.0

    @task
    def infer(self) -> None:
        """A request and its answer."""
        path, headers = f"/v2/models/{self.model}/infer", {"Swarmex-Tier": self.tier}
        asked_s = time.perf_counter()
        if self.ask("POST", path, self.tier, 200, json={"inputs": self.inputs}, headers=headers) is not None:
            answers_ms[self.tier].append((time.perf_counter() - asked_s) * 1_000)

    def wait_time(self) -> float:
        """Seconds until the next request: none while it is behind, so that slow answers are not followed by fewer."""
        if not (rate_per_s := os.environ.get(RATE)):
            return float(os.environ.get(PAUSE, PAUSE_S))
        now_s = time.monotonic()
        self._next_s = (self._next_s or now_s) + chance.expovariate(float(rate_per_s))
        return max(0.0, self._next_s - now_s)


class SmallUser(TierUser):
    """Shares leases with all others of the tier."""

    tier = TierName.SMALL


class MediumUser(TierUser):
    """Has leases of its own."""

    tier = TierName.MEDIUM


class LargeUser(TierUser):
    """Has them on larger machines."""

    tier = TierName.LARGE


class EnterpriseUser(TierUser):
    """Goes first."""

    tier = TierName.ENTERPRISE


def _judge(environment: Environment, **_: object) -> None:
    """Write the report, and call a run in which a tier had no answer a failure."""

    def judge(**_: object) -> None:
        if starved := [tier for tier, answered in answers_ms.items() if not answered]:
            print(f"No answers in tier {', '.join(starved)}.")
            environment.process_exit_code = 1
        if report := os.environ.get(REPORT):
            Path(report).write_text(json.dumps(answers_ms))

    hooks: Any = environment.events  # Locust leaves them untyped
    hooks.quitting.add_listener(judge)


_hooks: Any = events
_hooks.init.add_listener(_judge)
