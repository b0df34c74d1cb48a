"""Agents: their kinds, and how many of each there should be."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum


class AgentKind(StrEnum):
    """Every kind of process that the manager runs, and the manager."""

    API = "api"
    PRICING = "pricing"
    ALLOCATION = "allocation"
    SETTLEMENT = "settlement"
    INFERENCE = "inference"
    MANAGER = "manager"


class AgentState(StrEnum):
    """What an agent says of itself; a live one has also beaten lately."""

    UP = "up"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """`replicas` agents of a kind with these arguments should be running under this name."""

    name: str
    kind: AgentKind
    arguments: tuple[str, ...] = ()
    replicas: int = 1


def fleet_label(folder: str) -> str:
    """What the processes of the market in a data folder carry, to be told from those of another."""
    return hashlib.sha256(folder.encode()).hexdigest()[:16]
