"""Machines in columns, one array an attribute: what needs and preferences are computed on."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.domain.ids import ModelId, NodeId
from backend.domain.machines import Machine

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Name = TypeVar("Name", bound=Hashable)

NOWHERE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Machines:
    """One position a machine, in the order given; names map to the positions of the machines that have them."""

    slots: Ints
    busy_slots: Ints
    cores: Ints
    memory_mb: Ints
    gpu_memory_mb: Ints
    accelerators: Ints
    latency_ms: Ints
    trust_ppm: Ints
    nodes: Mapping[NodeId, Ints]
    gpu_models: Mapping[str, Ints]
    residencies: Mapping[str, Ints]
    models: Mapping[ModelId, Ints]

    def __len__(self) -> int:
        return len(self.slots)

    @staticmethod
    def of(machines: Sequence[Machine]) -> "Machines":
        """The columns of these machines; a node may be there more than once, as with two offers."""
        return Machines(
            _column(machine.slots for machine in machines),
            _column(machine.busy_slots for machine in machines),
            _column(machine.cores for machine in machines),
            _column(machine.memory_mb for machine in machines),
            _column(machine.gpu_memory_mb for machine in machines),
            _column(machine.accelerators for machine in machines),
            _column(machine.latency_ms for machine in machines),
            _column(machine.trust_ppm for machine in machines),
            _places((at, machine.node_id) for at, machine in enumerate(machines)),
            _places((at, machine.gpu_model) for at, machine in enumerate(machines) if machine.gpu_model is not None),
            _places((at, machine.residency) for at, machine in enumerate(machines) if machine.residency is not None),
            _places((at, model) for at, machine in enumerate(machines) for model in machine.models),
        )

    def having(self, names: Iterable[Name], places: Mapping[Name, Ints]) -> Flags:
        """Which machines have one of these names, by one of the maps above."""
        found = np.zeros(len(self), np.bool_)
        for name in names:
            found[places.get(name, NOWHERE)] = True
        return found


def _column(values: Iterable[int]) -> Ints:
    return np.fromiter(values, np.int64)


def _places(named: Iterable[tuple[int, Name]]) -> dict[Name, Ints]:
    places: dict[Name, list[int]] = {}
    for at, name in named:
        places.setdefault(name, []).append(at)
    return {name: np.array(found, np.int64) for name, found in places.items()}
