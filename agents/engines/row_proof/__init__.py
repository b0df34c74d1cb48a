"""Whether the rows of an ONNX model keep apart, whatever is sent: proven by its graph, not tried.

A probe shows what a model does to the values that it is probed with; one that is meant to leak waits for others.
"""

from agents.engines.row_proof.graph import rows_keep_apart

__all__ = ["rows_keep_apart"]
