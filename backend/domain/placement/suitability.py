"""Whether a machine can serve an order at all: the definition for one pair, and the same for all machines at once."""

import numpy as np

from backend.domain.machines import Machine, Needs
from backend.domain.placement.machines import Flags, Machines


def suits(needs: Needs, machine: Machine) -> bool:
    """Whether this machine has all that is needed; `spread` asks nothing of a single machine."""
    return not lacking(needs, machine)


def lacking(needs: Needs, machine: Machine) -> tuple[str, ...]:
    """Names of the needs that this machine does not meet, in the order of the fields of Needs."""
    met = {
        "cores": machine.cores >= needs.cores,
        "memory_mb": machine.memory_mb >= needs.memory_mb,
        "gpu_model": needs.gpu_model is None or machine.gpu_model == needs.gpu_model,
        "gpu_memory_mb": machine.gpu_memory_mb >= needs.gpu_memory_mb,
        "accelerators": machine.accelerators >= needs.accelerators,
        "residency": not needs.residency or machine.residency in needs.residency,
        "latency_ms_max": needs.latency_ms_max is None or machine.latency_ms <= needs.latency_ms_max,
        "trust_min_ppm": machine.trust_ppm >= needs.trust_min_ppm,
        "dedicated": not needs.dedicated or machine.busy_slots == 0,
        "only": not needs.only or machine.node_id in needs.only,
        "never": machine.node_id not in needs.never,
    }
    return tuple(name for name, is_met in met.items() if not is_met)


def feasible(needs: Needs, machines: Machines) -> Flags:
    """Which machines suit: one flag a machine, equal to `suits` of each."""
    found = np.ones(len(machines), np.bool_)
    for least, has in (
        (needs.cores, machines.cores),
        (needs.memory_mb, machines.memory_mb),
        (needs.gpu_memory_mb, machines.gpu_memory_mb),
        (needs.accelerators, machines.accelerators),
        (needs.trust_min_ppm, machines.trust_ppm),
    ):
        if least > 0:
            found &= has >= least
    if needs.latency_ms_max is not None:
        found &= machines.latency_ms <= needs.latency_ms_max
    if needs.gpu_model is not None:
        found &= machines.having((needs.gpu_model,), machines.gpu_models)
    if needs.residency:
        found &= machines.having(needs.residency, machines.residencies)
    if needs.dedicated:
        found &= machines.busy_slots == 0
    if needs.only:
        found &= machines.having(needs.only, machines.nodes)
    if needs.never:
        found &= ~machines.having(needs.never, machines.nodes)
    return found
