"""Nodes that are somebody else's inference server: how one is named, and when it serves a model of this market.

Nothing that such a server says is believed but for what it is asked again at every answer: names, datatypes, shapes.
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum

from backend.domain.errors import Invalid, shown
from backend.domain.ids import ModelId
from backend.domain.remote_models import PORT_MAX, read_specs
from backend.domain.tensors import Signature, TensorSpec

CREDENTIAL_CHARS_MAX = 4_096
NODES_MAX = 64  # that one market serves this way: each has threads of its own in the adapter
MODELS_MAX = 256  # that one server is asked about
NAMES_MAX = 10_000  # of a server's own index
DOCUMENT_BYTES_MAX = 1 << 20
TOLD_CHARS_MAX = 200  # of what a server says, wherever it is kept or shown
EXTERNAL_AGENT = "external/"  # begins the names of the agents that stand for such nodes

_URL = re.compile(
    r"(https?)://([A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?/?"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEMED = re.compile(r"[A-Za-z][A-Za-z0-9-]* \S.*")


class ServerState(StrEnum):
    """How the adapter found a server last."""

    NEW = "new"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ModelFit:
    """A registered model, and why a server does not serve it; None where it does."""

    model_id: ModelId
    name: str
    version: int
    why_not: str | None = None


def check_server_url(url: str) -> str:
    """`url` as scheme://host:port in lower case; raises Invalid(`invalid_server_url`)."""
    found = _URL.fullmatch(url)
    port = 0 if found is None else int(found[3] or _DEFAULT_PORTS[found[1]])
    if found is None or not 1 <= port <= PORT_MAX:
        raise Invalid(
            f"{shown(url)} is no server's URL",
            code="invalid_server_url",
            field="url",
            accepted="http://host:port or https://host, without a user, a password or a path",
        )
    return f"{found[1]}://{found[2].lower()}:{port}"


def check_credential(credential: str) -> str:
    """What a server is shown as `Authorization`, a bare token being a bearer's; raises Invalid(`invalid_credential`).

    The error does not repeat it.
    """
    text = credential.strip()
    named, colon, value = text.partition(":")
    if colon and named.lower() == "authorization":
        text = value.strip()
    if not text or len(text) > CREDENTIAL_CHARS_MAX or not (text.isascii() and text.isprintable()):
        raise Invalid(
            "that cannot be an Authorization header",
            code="invalid_credential",
            field="credential",
            accepted=f"a token, or a header's value as in `Bearer …`, of at most {CREDENTIAL_CHARS_MAX} characters",
        )
    return text if _SCHEMED.fullmatch(text) else f"Bearer {text}"


def read_signature(document: bytes) -> Signature:
    """What a server's metadata of a model says that it takes and gives; raises Invalid."""
    told = _json(document)
    if not isinstance(told, dict):
        raise _unreadable("metadata")
    return Signature(read_specs(told, "inputs"), read_specs(told, "outputs"))


def read_index(document: bytes) -> frozenset[str]:
    """The names in a server's index of its models; raises Invalid."""
    told = _json(document)
    if not isinstance(told, list) or len(told) > NAMES_MAX:
        raise _unreadable("index")
    return frozenset(str(entry["name"]) for entry in told if isinstance(entry, dict) and "name" in entry)


def difference(wanted: Signature, found: Signature) -> str | None:
    """Why a server's model cannot stand for ours, by its signature; None if it can.

    It must take whatever ours takes; of outputs only what can never fit is a difference, since each is checked.
    """
    for side, ours, theirs in (("input", wanted.inputs, found.inputs), ("output", wanted.outputs, found.outputs)):
        by_name = {spec.name: spec for spec in theirs}
        if by_name.keys() != {spec.name for spec in ours}:
            named = ", ".join(sorted(by_name))
            return f"{side}s are {named}"[:TOLD_CHARS_MAX]
        for spec in ours:
            other = by_name[spec.name]
            if other.datatype != spec.datatype or not _fits(spec, other, takes=side == "input"):
                return f"{side} {spec.name} is {other.datatype} {list(other.shape)}"[:TOLD_CHARS_MAX]
    return None


def _fits(ours: TensorSpec, theirs: TensorSpec, *, takes: bool) -> bool:
    if len(ours.shape) != len(theirs.shape):
        return False
    return all(
        theirs_axis in (-1, ours_axis) or (ours_axis == -1 and not takes)
        for ours_axis, theirs_axis in zip(ours.shape, theirs.shape, strict=True)
    )


def _json(document: bytes) -> object:
    try:
        told: object = json.loads(document)
    except (ValueError, RecursionError):
        raise _unreadable("answer") from None
    return told


def _unreadable(what: str) -> Invalid:
    return Invalid(
        f"the server's {what} cannot be read",
        code="unreadable_answer",
        field="url",
        accepted="JSON as the protocol has it",
    )
