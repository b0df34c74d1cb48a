"""What an agent has of its nodes' keys: one function of the database, called by the owner and by a node's role.

Apart from the repositories, since inference agents need no tables: to import those takes a fifth of their start.
"""

from collections.abc import Sequence
from typing import Any

from backend.domain.ids import AgentId
from backend.domain.sealing_keys import HeldKey, KeyStanding, KeyState


def held_binds(agent_id: AgentId, held: Sequence[HeldKey]) -> dict[str, Any]:
    """What `NODE_SEALING` is called with."""
    return {
        "agent": agent_id,
        "nodes": [key.node_id for key in held],
        "publics": [key.public for key in held],
        "answers": [key.answer for key in held],
    }


NODE_SEALING = (
    "SELECT * FROM node_sealing(%(agent)s, CAST(%(nodes)s AS uuid[]), CAST(%(publics)s AS bytea[]),"
    " CAST(%(answers)s AS bytea[]))"
)


def standing_of(row: Any) -> KeyStanding:
    """A row of `NODE_SEALING`."""
    return KeyStanding(row.node_id, row.state and KeyState(row.state), row.challenge)
