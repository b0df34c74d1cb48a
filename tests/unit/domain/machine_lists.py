"""Machines and needs for the tests of placement: few values, so that some suit and most do not."""

from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from backend.domain.ids import ModelId, NodeId
from backend.domain.machines import Machine, Needs

NODES = tuple(NodeId(UUID(int=number)) for number in range(1, 5))
MODELS = tuple(ModelId(UUID(int=number)) for number in range(11, 14))
GPUS = ("a100", "t4")
PLACES = ("ch", "de", "us")

few = st.integers(0, 3)


def machine(number: int = 0, **changes: Any) -> Machine:
    """An idle machine of four slots, or as changed."""
    values: dict[str, Any] = {"node_id": NODES[number], "slots": 4}
    return Machine(**(values | changes))


machines = st.builds(
    Machine,
    node_id=st.sampled_from(NODES),
    slots=st.integers(1, 3),
    busy_slots=st.integers(0, 1),
    cores=few,
    memory_mb=few,
    gpu_model=st.none() | st.sampled_from(GPUS),
    gpu_memory_mb=few,
    accelerators=few,
    residency=st.none() | st.sampled_from(PLACES),
    latency_ms=few,
    trust_ppm=few,
    models=st.frozensets(st.sampled_from(MODELS)),
)
machine_lists = st.lists(machines, max_size=12)


def _mostly_nothing(nothing: Any, something: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.just(nothing), st.just(nothing), something)


needs = st.builds(
    Needs,
    cores=_mostly_nothing(0, few),
    memory_mb=_mostly_nothing(0, few),
    gpu_model=_mostly_nothing(None, st.sampled_from(GPUS)),
    gpu_memory_mb=_mostly_nothing(0, few),
    accelerators=_mostly_nothing(0, few),
    residency=_mostly_nothing((), st.lists(st.sampled_from(PLACES), unique=True).map(tuple)),
    latency_ms_max=_mostly_nothing(None, few),
    trust_min_ppm=_mostly_nothing(0, few),
    dedicated=_mostly_nothing(False, st.booleans()),
    spread=st.booleans(),
    only=_mostly_nothing((), st.lists(st.sampled_from(NODES), unique=True).map(tuple)),
    never=_mostly_nothing((), st.lists(st.sampled_from(NODES), unique=True).map(tuple)),
)
