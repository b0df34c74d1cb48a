"""Tensors as the Open Inference Protocol v2 writes them, in JSON and as raw buffers, checked against a signature."""

from backend.domain.tensors.answers import Outputs, read_outputs, render, render_outputs
from backend.domain.tensors.raw import as_texts, encode, raw_of_plain
from backend.domain.tensors.requests import (
    HEADER_LENGTH,
    GivenTensor,
    parse_request,
    read_inputs,
    rows_of,
    split_body,
)
from backend.domain.tensors.signature import DATATYPES, ELEMENTS_MAX, TEXTS_MAX, Array, Signature, TensorSpec
from backend.domain.tensors.wishes import ID_CHARS_MAX, read_id, read_wishes

__all__ = [
    "DATATYPES",
    "ELEMENTS_MAX",
    "HEADER_LENGTH",
    "ID_CHARS_MAX",
    "TEXTS_MAX",
    "Array",
    "GivenTensor",
    "Outputs",
    "Signature",
    "TensorSpec",
    "as_texts",
    "encode",
    "parse_request",
    "raw_of_plain",
    "read_id",
    "read_inputs",
    "read_outputs",
    "read_wishes",
    "render",
    "render_outputs",
    "rows_of",
    "split_body",
]
