"""Requests that are right, for tests to send or to spoil."""

from typing import Any

ROW = [1.0, 2.0, 3.0, 4.0]


def tensor(**changes: Any) -> dict[str, Any]:
    """The input tensor of model `scale`."""
    return {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW} | changes


def body(**changes: Any) -> dict[str, Any]:
    """A protocol request to model `scale`."""
    return {"inputs": [tensor()]} | changes


def workload(**changes: Any) -> dict[str, Any]:
    """An inference workload that a funded user may place; a change to None leaves the field out."""
    whole = {"workload": "inference", "model": "scale", "tier": "large", "requests": [body()]} | changes
    return {name: value for name, value in whole.items() if value is not None}
