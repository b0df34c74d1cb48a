"""Machines, and what an order needs of each machine that serves it: hard constraints, never traded for a price."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from uuid import UUID

from backend.domain.errors import Invalid, shown
from backend.domain.ids import ModelId, NodeId
from backend.domain.money import PPM

TRUST_NEW_PPM = 50_000  # the lower bound of somebody of whom nothing is known: Beta(1, 1) at 5%
CORES_MAX = 4_096
MEMORY_MB_MAX = 1 << 25
ACCELERATORS_MAX = 64
LATENCY_MS_MAX = 60_000
NAMED_MAX = 100  # nodes on an allow or deny list, jurisdictions
_WORD = re.compile(r"[a-z0-9]([a-z0-9._ -]{0,61}[a-z0-9])?", re.ASCII)
_WORD_ACCEPTED = "1 to 63 of a-z 0-9 . _ - and inner spaces, as in a100"


@dataclass(frozen=True, slots=True)
class Machine:
    """A node as placement sees it: what its provider states, what was measured of it, which models lie on it."""

    node_id: NodeId
    slots: int
    busy_slots: int = 0
    cores: int = 1
    memory_mb: int = 1_024
    gpu_model: str | None = None
    gpu_memory_mb: int = 0
    accelerators: int = 0
    residency: str | None = None
    latency_ms: int = 0
    trust_ppm: int = TRUST_NEW_PPM
    models: frozenset[ModelId] = frozenset()


@dataclass(frozen=True, slots=True)
class Needs:
    """What each node that serves an order must have; empty or zero asks for nothing.

    `gpu_memory_mb` is of each accelerator; `residency` lists jurisdictions, of which one must be the node's.
    `dedicated` takes only idle nodes, and those whole; `spread` takes one slot of a node, so that participants are on
    distinct ones; `only` and `never` name nodes.
    """

    cores: int = 0
    memory_mb: int = 0
    gpu_model: str | None = None
    gpu_memory_mb: int = 0
    accelerators: int = 0
    residency: tuple[str, ...] = ()
    latency_ms_max: int | None = None
    trust_min_ppm: int = 0
    dedicated: bool = False
    spread: bool = False
    only: tuple[NodeId, ...] = ()
    never: tuple[NodeId, ...] = ()

    @property
    def hard(self) -> bool:
        """Whether anything is asked for at all."""
        return self is not NO_NEEDS and self != NO_NEEDS  # most are the same object, which is quick to see

    def wire(self) -> dict[str, Any]:
        """What is asked for and nothing else, as JSON has it: ids as strings, empty for nothing; see `needs_of`."""
        if self is NO_NEEDS:
            return {}
        asked = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return {
            name: [str(part) for part in value] if isinstance(value, tuple) else value
            for name, value, nothing in asked
            if value != nothing
        }


NO_NEEDS = Needs()
NEEDS = tuple(field.name for field in fields(Needs))
_RANGES = {  # of needs, where they are stated; in units of the machine's own fields
    "cores": CORES_MAX,
    "memory_mb": MEMORY_MB_MAX,
    "gpu_memory_mb": MEMORY_MB_MAX,
    "accelerators": ACCELERATORS_MAX,
    "latency_ms_max": LATENCY_MS_MAX,
    "trust_min_ppm": PPM,
}
NUMBERS, FLAGS, WORDS, NODES = tuple(_RANGES), ("dedicated", "spread"), ("residency",), ("only", "never")


def needs_of(stored: Mapping[str, Any]) -> Needs:
    """The inverse of `Needs.wire`, for what it made; what comes from outside is read by `stated_needs`."""
    if not stored:
        return NO_NEEDS
    values = dict(stored)
    values |= {name: tuple(values[name]) for name in WORDS if name in values}
    values |= {name: tuple(NodeId(UUID(text)) for text in values[name]) for name in NODES if name in values}
    return Needs(**values)


def stated_needs(stated: Mapping[str, Any]) -> Needs:
    """Needs as somebody outside states them, by the names of `Needs`; None is left out.

    Raises Invalid with `needs.<field>`: beside what `check_needs` refuses, a field that is not known, and one that is
    stated and asks for nothing, which is rather a mistake than a wish.
    """
    values: dict[str, Any] = {}
    for name, value in stated.items():
        if name not in NEEDS:
            raise _refused(name, f"{shown(name)} is not a need", ", ".join(NEEDS), code="unknown_field")
        if value is not None:
            values[name] = _stated(name, value)
    return check_needs(Needs(**values)) if values else NO_NEEDS


def _stated(name: str, value: Any) -> Any:
    if name in _RANGES:
        _check_number(name, value, 1, _RANGES[name])
    elif name in (*WORDS, *NODES):
        if not isinstance(value, (list, tuple)) or (not value and name != "never"):
            raise _refused(name, f"{name} {shown(value)}", f"a list of 1 to {NAMED_MAX}")
        return tuple(_node_id(name, part) for part in value) if name in NODES else tuple(value)
    return value


def _node_id(name: str, value: object) -> NodeId:
    try:
        return NodeId(value if isinstance(value, UUID) else UUID(str(value)))
    except ValueError:
        raise _refused(name, f"{shown(value)} is no node's id", "ids of nodes") from None


def check_needs(needs: Needs) -> Needs:
    """Needs that some node could meet, with each name once and in order; raises Invalid with `needs.<field>`."""
    for name, most in _RANGES.items():
        value = getattr(needs, name)
        if name != "latency_ms_max":
            _check_number(name, value, 0, most)
        elif value is not None:  # no node answers within 0 ms, though 0 of anything else asks for nothing
            _check_number(name, value, 1, most)
    for name in FLAGS:
        if not isinstance(getattr(needs, name), bool):
            raise _refused(name, f"{name} {shown(getattr(needs, name))}", "true or false")
    if needs.gpu_model is not None:
        _check_word("gpu_model", needs.gpu_model, "needs.")
    for word in _short("residency", needs.residency):
        _check_word("residency", word, "needs.")
    only, never = _short("only", needs.only), _short("never", needs.never)
    if set(only) & set(never):
        raise _contradictory("never", "a node is in only and in never", "nodes that are not in only")
    if needs.dedicated and needs.spread:
        raise _contradictory("spread", "whole nodes have more slots than one", "false, or dedicated false")
    return replace(needs, residency=_each_once(needs.residency), only=_each_once(only), never=_each_once(never))


def check_hardware(
    *,
    cores: int,
    memory_mb: int,
    gpu_model: str | None,
    gpu_memory_mb: int,
    accelerators: int,
    residency: str | None,
    latency_ms: int,
) -> None:
    """Raise Invalid with the field's name unless a machine can be like that; memory in MiB, latency in ms."""
    for name, value, least, most in (
        ("cores", cores, 1, CORES_MAX),
        ("memory_mb", memory_mb, 1, MEMORY_MB_MAX),
        ("gpu_memory_mb", gpu_memory_mb, 0, MEMORY_MB_MAX),
        ("accelerators", accelerators, 0, ACCELERATORS_MAX),
        ("latency_ms", latency_ms, 0, LATENCY_MS_MAX),
    ):
        _check_number(name, value, least, most, prefix="")
    for name, word in (("gpu_model", gpu_model), ("residency", residency)):
        if word is not None:
            _check_word(name, word, "")
    if not accelerators and (gpu_model or gpu_memory_mb):
        raise Invalid(
            "a machine without accelerators has no GPU",
            code="contradictory_hardware",
            field="accelerators",
            accepted=f"1 to {ACCELERATORS_MAX}, or neither gpu_model nor gpu_memory_mb",
        )


def _check_number(name: str, value: object, least: int, most: int, prefix: str = "needs.") -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _refused(name, f"{name} {shown(value)} is out of range", f"{least} to {most}", prefix)


def _check_word(name: str, value: object, prefix: str) -> None:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise _refused(name, f"{shown(value)} cannot be a {name}", _WORD_ACCEPTED, prefix)


def _short(name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(values) > NAMED_MAX:
        raise _refused(name, f"{len(values)} names in {name}", f"at most {NAMED_MAX}")
    return values


def _each_once(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(set(values)))


def _refused(name: str, message: str, accepted: str, prefix: str = "needs.", code: str | None = None) -> Invalid:
    field = name.encode("ascii", "backslashreplace").decode()[:NAMED_MAX]
    return Invalid(message, code=code or f"invalid_{name}", field=prefix + field, accepted=accepted)


def _contradictory(name: str, message: str, accepted: str) -> Invalid:
    return _refused(name, message, accepted, code="contradictory_needs")
