"""Needs as people type them."""

from uuid import UUID

import pytest

from backend.cli.needs import read_needs
from backend.domain.errors import NotFound
from backend.domain.ids import NodeId
from backend.domain.machines import NO_NEEDS, Needs
from tests.unit.domain.refusals import refusal

NODES = {"rack-1": NodeId(UUID(int=1)), "rack-2": NodeId(UUID(int=2))}
NO_NUMBERS = ["", "-1", "0", "nan", "1e3", "1_0", "٣", "9" * 5_000]


def node_id(name: str) -> NodeId:
    """The id of one of two nodes."""
    if name not in NODES:
        raise NotFound("node", name, accepted="a name")
    return NODES[name]


def test_words_become_needs_and_nodes_are_found_by_name() -> None:
    words = ["gpu_memory_mb=16384", "gpu_model=a100 80gb", "residency=fr, de", "spread", "dedicated=no", "only=rack-2"]
    assert read_needs(words, node_id) == Needs(
        gpu_memory_mb=16_384, gpu_model="a100 80gb", residency=("de", "fr"), spread=True, only=(NODES["rack-2"],)
    )
    assert read_needs(["never=rack-2,rack-1"], node_id).never == tuple(NODES.values())
    assert read_needs([], node_id) is NO_NEEDS


@pytest.mark.parametrize(
    ("words", "code", "field"),
    [
        *(([f"cores={said}"], "invalid_cores", "needs.cores") for said in NO_NUMBERS),
        (["cores"], "invalid_cores", "needs.cores"),
        (["spread=maybe"], "invalid_spread", "needs.spread"),
        (["spread="], "invalid_spread", "needs.spread"),
        (["residency="], "invalid_residency", "needs.residency"),
        (["gpu_model"], "invalid_gpu_model", "needs.gpu_model"),
        (["only=rack-9"], "unknown_node", "needs.only"),
        (["only=,"], "invalid_only", "needs.only"),
        (["only=rack-1", "never=rack-1"], "contradictory_needs", "needs.never"),
        (["cores=1", "cores=2"], "repeated_need", "needs.cores"),
        (["speed=3"], "unknown_field", "needs.speed"),
        (["=3"], "unknown_field", "needs."),
        ([""], "unknown_field", "needs."),
    ],
)
def test_words_that_mean_no_need_are_refused_by_their_field(words: list[str], code: str, field: str) -> None:
    error = refusal(lambda: read_needs(words, node_id))
    assert (error.code, error.field) == (code, field)
    assert error.accepted
