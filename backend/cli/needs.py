"""What an order needs of its nodes, as people type it: `--need gpu_memory_mb=16384 --need residency=de,fr`."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from backend.domain.errors import Invalid, SwarmexError, shown
from backend.domain.ids import NodeId
from backend.domain.machines import FLAGS, NEEDS, NODES, NUMBERS, Needs, stated_needs

_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)
_SAID = {None: True, "true": True, "yes": True, "false": False, "no": False}

NeedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--need",
        metavar="NAME=VALUE",
        help=f"What each node must have; as often as needed. Names: {', '.join(NEEDS)}."
        " dedicated takes idle nodes whole, so --slots must be at least those of one (swarmex node list).",
        show_default=False,
    ),
]


def read_needs(words: Sequence[str], node_id: Callable[[str], NodeId]) -> Needs:
    """The needs of some `name=value` words, with nodes by name or id; raises Invalid with `needs.<field>`."""
    stated: dict[str, Any] = {}
    for word in words:
        name, equals, said = word.partition("=")
        if name in stated:
            raise Invalid(f"{shown(name)} is said twice", code="repeated_need", field=f"needs.{name}", accepted="once")
        stated[name] = _value(name, said if equals else None, node_id)
    return stated_needs(stated)


def _value(name: str, said: str | None, node_id: Callable[[str], NodeId]) -> Any:
    """The value that is meant, or the words as they are, for `stated_needs` to refuse."""
    if name in FLAGS:
        return _SAID.get(said, said)
    text = said or ""
    if name in NUMBERS:
        return int(text) if _NUMBER.fullmatch(text) else text
    if name == "gpu_model":
        return text
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if name not in NODES:
        return parts
    try:
        return [node_id(part) for part in parts]
    except SwarmexError as error:
        error.field = f"needs.{name}"
        raise
