"""What an order without a suitable machine would have had to ask for less of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backend.domain.machines import Machine, Needs
from backend.domain.placement.suitability import lacking

NAMES_SHOWN_MAX = 5
NONE = "none"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A need that is not met: what was wanted, and the best that there is; both for people to read."""

    need: str
    wanted: str
    best: str

    @property
    def told(self) -> str:
        """The need with both, as a sentence."""
        return (
            f"{self.need}: {self.wanted} wanted, {'none has it' if self.best == NONE else f'{self.best} is the best'}"
        )


def shortfalls(needs: Needs, machines: Sequence[Machine]) -> tuple[Shortfall, ...]:
    """What the nearest machine lacks, in the order of the fields of Needs; empty if one suits or there is none.

    Nearest is the machine that lacks the fewest needs, and of those that lack equally few the first. `best` is the best
    value among the machines that lack the same needs as it does: asking for that instead would have found one.
    """
    lacks = [lacking(needs, machine) for machine in machines]
    nearest = min(lacks, key=len, default=())
    near = [machine for machine, lack in zip(machines, lacks, strict=True) if lack == nearest]
    return tuple(Shortfall(need, _wanted(need, needs), _best(need, near)) for need in nearest)


def _wanted(need: str, needs: Needs) -> str:
    match need:
        case "residency":
            return _names(needs.residency)
        case "dedicated":
            return "an idle node"
        case "only":
            return f"one of {len(needs.only)} named nodes"
        case "never":
            return f"none of {len(needs.never)} named nodes"
        case _:
            return str(getattr(needs, need))


def _best(need: str, near: Sequence[Machine]) -> str:
    match need:
        case "gpu_model" | "residency":
            return _names(found for machine in near if (found := getattr(machine, need)) is not None)
        case "latency_ms_max":
            return str(min(machine.latency_ms for machine in near))
        case "trust_min_ppm":
            return str(max(machine.trust_ppm for machine in near))
        case "dedicated":
            return f"a node with {min(machine.busy_slots for machine in near)} busy slots"
        case "only" | "never":
            return NONE
        case _:
            return str(max(getattr(machine, need) for machine in near))


def _names(names: Iterable[str]) -> str:
    """A few of these names, sorted, or `none`."""
    distinct = sorted(set(names))
    shown = ", ".join(distinct[:NAMES_SHOWN_MAX])
    return f"{shown}, …" if len(distinct) > NAMES_SHOWN_MAX else shown or NONE
