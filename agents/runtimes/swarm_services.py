"""How the manager's words follow from what Swarm says of services and their tasks; nothing is asked here."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agents.runtimes.base import Running
from agents.runtimes.container import MEMBER
from agents.runtimes.environment import from_label
from backend.domain.health import Health

ENDED = {"complete", "shutdown", "failed", "rejected", "remove", "orphaned"}
ROLLS = {"updating", "rollback_started"}  # tasks come and go until Swarm is done
ROLLED_BACK = {"rollback_started", "rollback_paused", "rollback_completed"}
TURN = "swarmex.turn"  # tells who has replaced whom in one service; rolled back, it is the former again


def running_of(service: Mapping[str, Any], task: Mapping[str, Any] | None) -> Running | None:
    """The member that a service is; None for what is none."""
    member = from_label(service["Spec"]["Labels"].get(MEMBER, ""))
    if member is None:
        return None
    # A task with a health check is said to run when it is well; one that is unwell is ended by Swarm.
    health = Health.HEALTHY if task is not None and task["Status"]["State"] == "running" else Health.STARTING
    rolled_back = _update(service) in ROLLED_BACK
    return Running(member, handle_of(service), seconds(service["CreatedAt"]), health, rolled_back)


def handle_of(service: Mapping[str, Any]) -> str:
    """Another one for each that took a place in the service, so that it is told from who was there before."""
    return f"{service['ID']} {service['Spec']['Labels'].get(TURN, '')}".strip()


def service_of(running: Running) -> str:
    """The id of its service."""
    return running.handle.split()[0]


def _update(service: Mapping[str, Any]) -> str:
    """How far Swarm is with the service's last update, in its words; empty if there was none."""
    return str((service.get("UpdateStatus") or {}).get("State", ""))


def is_over(service: Mapping[str, Any], task: Mapping[str, Any] | None) -> bool:
    """Whether a member has ended: its task did, or it was told to and its task is gone.

    While Swarm puts one in the place of another there are moments without a task that lives.
    """
    told = bool(service["Spec"]["Mode"]["Replicated"]["Replicas"] == 0)
    if _update(service) in ROLLS and not told:
        return False
    return told if task is None else has_ended(task)


def has_ended(task: Mapping[str, Any]) -> bool:
    """Whether a task lives no more."""
    return task["Status"]["State"] in ENDED


def seconds(moment: str) -> float:
    """Seconds since 1970 of the engine's time stamps, which have nanoseconds."""
    whole, _, fraction = moment.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
