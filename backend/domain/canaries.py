"""Canaries: whether what a node answered is what the model answers; known answers come from running it ourselves."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from backend.domain.errors import InvalidTensor
from backend.domain.tensors import Array, Signature, parse_request, render_outputs

TOLERANCE = 0.01  # of a tensor's largest value: other hardware rounds otherwise, other models are further off


def as_answered(outputs: Mapping[str, Array], signature: Signature) -> dict[str, Array] | None:
    """Outputs as they would arrive from a node; None if nobody can answer so: NaN and infinity are no JSON."""
    return _parsed(render_outputs(outputs, signature), signature)


def agrees(known: Mapping[str, Array], answered: object, signature: Signature) -> bool:
    """Whether the body that a node answered holds the known outputs, numbers with fractions up to TOLERANCE."""
    outputs = _parsed(answered.get("outputs"), signature) if isinstance(answered, Mapping) else None
    return outputs is not None and all(_alike(known[name], outputs[name]) for name in known)


def _parsed(tensors: Any, signature: Signature) -> dict[str, Array] | None:
    try:
        return parse_request({"inputs": tensors}, Signature(signature.outputs, ()))
    except InvalidTensor:
        return None


def _alike(known: Array, answered: Array) -> bool:
    if known.shape != answered.shape:
        return False
    if known.dtype.kind != "f":
        return bool(np.array_equal(known, answered))
    exact, given = known.astype(np.float64), answered.astype(np.float64)
    return bool(np.abs(exact - given).max() <= TOLERANCE * np.abs(exact).max())
