"""What Swarm says of a service, in the manager's words."""

from typing import Any

import pytest

from agents.runtimes.base import Member
from agents.runtimes.container import labels_of
from agents.runtimes.swarm_services import TURN, handle_of, is_over, running_of, service_of
from backend.domain.fleet import AgentKind
from backend.domain.health import Health

MEMBER = Member("m", 1, AgentKind.PRICING, ("x",), "image:2")


def service(update: str | None = None, replicas: int = 1, labels: dict[str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ID": "abc",
        "CreatedAt": "2026-01-01T00:00:00.500000000Z",
        "Spec": {"Labels": labels_of(MEMBER, "f") | (labels or {}), "Mode": {"Replicated": {"Replicas": replicas}}},
    }
    return found if update is None else found | {"UpdateStatus": {"State": update}}


def task(state: str) -> dict[str, Any]:
    return {"Status": {"State": state}}


def test_a_service_is_the_member_that_its_labels_say() -> None:
    running = running_of(service(), task("running"))
    assert running is not None
    assert (running.member, running.health, running.rolled_back) == (MEMBER, Health.HEALTHY, False)
    assert running.started_s % 60 == 0.5
    assert running_of(service(labels={"swarmex.member": "{"}), None) is None


def test_who_took_the_place_of_another_has_another_handle_of_the_same_service() -> None:
    first, second = service(labels={TURN: "1"}), service(labels={TURN: "2"})
    assert handle_of(first) != handle_of(second)
    for one in (first, second, service()):
        running = running_of(one, None)
        assert running is not None
        assert (running.handle, service_of(running)) == (handle_of(one), "abc")


@pytest.mark.parametrize("update", ["rollback_started", "rollback_paused", "rollback_completed"])
def test_one_that_is_there_again_says_so(update: str) -> None:
    running = running_of(service(update), task("starting"))
    assert running is not None
    assert (running.rolled_back, running.health) == (True, Health.STARTING)


@pytest.mark.parametrize("update", ["updating", "completed"])
def test_one_that_is_new_does_not(update: str) -> None:
    running = running_of(service(update), None)
    assert running is not None
    assert not running.rolled_back


@pytest.mark.parametrize(
    ("update", "replicas", "state", "over"),
    [
        (None, 1, "running", False),
        (None, 1, "failed", True),
        (None, 1, None, False),
        (None, 0, None, True),
        (None, 0, "running", False),
        ("updating", 1, "failed", False),
        ("rollback_started", 1, "shutdown", False),
        ("updating", 0, "shutdown", True),
        ("completed", 1, "complete", True),
        ("rollback_completed", 1, "running", False),
        ("rollback_paused", 1, "failed", True),
    ],
)
def test_a_member_is_over_when_its_task_is_and_swarm_is_not_about_to_start_another(
    update: str | None, replicas: int, state: str | None, over: bool
) -> None:
    assert is_over(service(update, replicas), None if state is None else task(state)) is over
