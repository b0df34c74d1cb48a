"""Breakers against a plain model, which keeps every call and counts them anew each time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backend.messaging.breaker import Breaker
from backend.messaging.breaker_calls import Permit
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy
from backend.messaging.breaker_window import BUCKETS
from tests.unit.messaging.breaking import Clock, Down

STEP_S = 0.25  # exact in binary, as all times here are
WINDOW_S = 2.5  # a bucket is a step


class Model:
    """Rules as they are written in BreakerPolicy, without any cleverness."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.state = "closed"
        self.since = 0
        self.in_a_row = 0
        self.ended: list[tuple[int, bool]] = []  # step and whether it failed, since it was closed
        self.probes: set[int] = set()
        self.good_probes = 0
        self.admitted_in: dict[int, int] = {}
        self.era = 0

    def move(self, state: str, step: int) -> None:
        self.state, self.since, self.probes, self.good_probes = state, step, set(), 0
        self.era += 1
        if state == "closed":
            self.in_a_row, self.ended = 0, []

    def admit(self, call: int, step: int) -> bool:
        rested = step - self.since >= self.policy.recovery_s / STEP_S
        if self.state == "open" and rested:
            self.move("half-open", step)
        elif self.state == "half-open" and len(self.probes) >= self.policy.permits and rested:
            good = self.good_probes
            self.move("half-open", step)
            self.good_probes = good
        elif self.state == "open" or (self.state == "half-open" and len(self.probes) >= self.policy.permits):
            return False
        if self.state == "half-open":
            self.probes.add(call)
        self.admitted_in[call] = self.era
        return True

    def end(self, call: int, step: int, failed: bool) -> None:
        if self.admitted_in[call] != self.era:
            return
        self.probes.discard(call)
        self.in_a_row = self.in_a_row + 1 if failed else 0
        if self.state == "half-open":
            self.good_probes += not failed
            if failed:
                self.move("open", step)
            elif self.good_probes >= self.policy.successes:
                self.move("closed", step)
            return
        self.ended.append((step, failed))
        recent = [bad for at, bad in self.ended if at > step - BUCKETS]
        by_rate = (
            self.policy.rate is not None
            and len(recent) >= self.policy.volume_min
            and sum(recent) >= self.policy.rate * len(recent)
        )
        if failed and (by_rate or self.in_a_row >= (self.policy.fail_max or 1 << 62)):
            self.move("open", step)


class BreakerMachine(RuleBasedStateMachine):
    """Calls begin, end and are abandoned in any order, time passes in steps."""

    @initialize(
        fail_max=st.none() | st.integers(1, 4),
        rate=st.sampled_from([0.25, 0.5, 1.0]),
        volume_min=st.integers(1, 6),
        permits=st.integers(1, 3),
        successes=st.integers(1, 3),
    )
    def begin(self, fail_max: int | None, rate: float, volume_min: int, permits: int, successes: int) -> None:
        policy = BreakerPolicy(
            fail_max=fail_max,
            rate=rate,
            volume_min=volume_min,
            window_s=WINDOW_S,
            recovery_s=4 * STEP_S,
            permits=permits,
            successes=successes,
        )
        self.clock = Clock()
        self.start_s = self.clock.now_s
        self.breaker = Breaker("machine", policy, clock=self.clock)
        self.model = Model(policy)
        self.under_way: dict[int, Permit] = {}
        self.calls = 0

    @property
    def step(self) -> int:
        return int((self.clock.now_s - self.start_s) / STEP_S)

    @rule(steps=st.integers(1, 12))
    def wait(self, steps: int) -> None:
        self.clock.pass_s(steps * STEP_S)

    @rule()
    def call(self) -> None:
        self.calls += 1
        admitted = self.model.admit(self.calls, self.step)
        try:
            self.under_way[self.calls] = self.breaker.before()
        except BreakerOpen:
            assert not admitted
        else:
            assert admitted

    @precondition(lambda self: self.under_way)
    @rule(pick=st.integers(0), failed=st.booleans())
    def end(self, pick: int, failed: bool) -> None:
        call = sorted(self.under_way)[pick % len(self.under_way)]
        permit = self.under_way.pop(call)
        if failed:
            self.breaker.failure(permit, Down())
        else:
            self.breaker.success(permit)
        self.model.end(call, self.step, failed)

    @precondition(lambda self: self.under_way)
    @rule(pick=st.integers(0))
    def abandon(self, pick: int) -> None:
        call = sorted(self.under_way)[pick % len(self.under_way)]
        self.breaker.abandon(self.under_way.pop(call))
        self.model.probes.discard(call)

    @rule(count=st.integers(1, 5))
    def fail_in_a_row(self, count: int) -> None:
        for _ in range(count):
            self.call()
            if self.calls in self.under_way:
                self.model.end(self.calls, self.step, failed=True)
                self.breaker.failure(self.under_way.pop(self.calls), Down())

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "breaker"):
            return
        assert self.breaker.current_state == self.breaker.state.name == self.model.state
        assert self.breaker.success_counter == self.model.good_probes
        if self.model.state == "closed":
            assert self.breaker.fail_counter == self.model.in_a_row


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=75, stateful_step_count=40, deadline=None)
