"""Nodes that have a model's file, and what opens it there: one file at one agent, until that agent ends."""

from dataclasses import dataclass, field
from hashlib import sha256

PEERS_MAX = 3  # that an agent is told of; after them comes the object store
FILE_PATH = "/files/{checksum}"


@dataclass(frozen=True, slots=True)
class Peer:
    """An agent that may have a model's file."""

    endpoint: str
    token: str = field(repr=False)


def file_token(agent_token: str, checksum: str) -> str:
    """What an agent asks of whoever wants the file of that checksum; the database derives the same for its peers."""
    return sha256(f"swarmex model file {agent_token} {checksum}".encode()).hexdigest()
