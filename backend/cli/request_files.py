"""Inference requests from files: Open Inference Protocol bodies, one or many."""

import json
import sys
from pathlib import Path
from typing import Any

from backend.domain.errors import Invalid

ACCEPTED = 'JSON: {"inputs": [{"name", "shape", "datatype", "data"}]}, or a list of such bodies'


def read_requests(path: Path) -> list[dict[str, Any]]:
    """The request bodies in a file, - for standard input; raises Invalid."""
    content = _read(path)
    if isinstance(content, dict) and isinstance(content.get("requests"), list):
        content = content["requests"]
    bodies: list[Any] = content if isinstance(content, list) else [content]
    if not bodies or not all(isinstance(body, dict) and "inputs" in body for body in bodies):
        raise Invalid(f"{path} holds no inference request", code="invalid_input", field="input", accepted=ACCEPTED)
    return bodies


def read_request(path: Path) -> dict[str, Any]:
    """The only request body in a file; raises Invalid."""
    bodies = read_requests(path)
    if len(bodies) != 1:
        raise Invalid(f"{path} holds {len(bodies)} requests", code="invalid_input", field="input", accepted="one")
    return bodies[0]


def _read(path: Path) -> object:
    try:
        return json.loads(sys.stdin.read() if str(path) == "-" else path.read_text())
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise Invalid(f"{path}: {reason}", code="invalid_input", field="input", accepted="a file, or -") from None
    except ValueError as error:
        raise Invalid(f"{path} is not JSON: {error}", code="invalid_input", field="input", accepted=ACCEPTED) from None
