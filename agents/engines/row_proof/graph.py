"""An ONNX file walked from its inputs to its outputs, with the rules of its operators."""

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from agents.engines.row_proof.operators import CLASSICAL, MAKERS, STANDARD
from agents.engines.row_proof.rules import Rule
from agents.engines.row_proof.values import Fixed, Known, Rows, Step, Unproven

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

FILE_BYTES_MAX = 512 << 20  # it is read whole, beside the engine's own copy; what is larger runs alone
NODES_MAX = 50_000
DEFAULTS_SINCE = 4  # version of the file format from which on a fixed tensor that is an input may be replaced
OPSET_MIN = 13  # whose meanings the rules have
VALUES_MAX = 64  # of a fixed tensor that may say shapes and axes

STANDARD_DOMAINS = ("", "ai.onnx")
CLASSICAL_DOMAIN = "ai.onnx.ml"
Shapes = dict[str, tuple[int | None, ...]]

log = structlog.get_logger(__name__)


def rows_keep_apart(path: Path) -> bool:
    """Whether each row of the file's outputs is proven to come of the same row of its inputs, and of no other.

    False is no accusation: it says that no rule knows an operator of it, or how it is used. Never raises.
    """
    if path.stat().st_size > FILE_BYTES_MAX:
        return False
    try:
        import onnx  # slow to import, and only needed here

        _prove(onnx.load(str(path), load_external_data=False))
    except Unproven as error:
        log.info("rows.unproven", why=str(error))
        return False
    except Exception as error:  # a strange file breaks whatever reads it: then nothing is proven
        log.info("rows.unproven", why=repr(error))
        return False
    return True


def _prove(model: "ModelProto") -> None:
    """Return if every output is rows; raises Unproven, or whatever a broken file causes."""
    if model.functions or len(model.graph.node) > NODES_MAX:
        raise Unproven("functions of its own, or too many nodes")
    _check_versions(model)
    known = _given(model.graph, defaults=model.ir_version >= DEFAULTS_SINCE)
    shapes = _shapes(model)
    for node in model.graph.node:
        found = _outputs(node, known, shapes)
        if any(name and name in known for name in node.output):
            raise Unproven(f"{node.op_type} gives what is there already")
        known.update(zip(node.output, found, strict=True))
    for output in model.graph.output:
        if not isinstance(known[output.name], Rows):
            raise Unproven(f"output {output.name!r} is not made of rows")


def _check_versions(model: "ModelProto") -> None:
    from onnx.defs import onnx_opset_version

    standard = [one.version for one in model.opset_import if one.domain in STANDARD_DOMAINS]
    if len(standard) != 1 or not OPSET_MIN <= standard[0] <= onnx_opset_version():
        raise Unproven(f"operators of version {standard}")


def _given(graph: "GraphProto", *, defaults: bool) -> dict[str, Known]:
    """What is known before the first node: fixed tensors, and inputs that count rows by a free first axis.

    With `defaults`, fixed tensors that are inputs as well are what is taken where nothing is sent.
    """
    known: dict[str, Known] = {"": Fixed()}
    for tensor in graph.initializer:
        known[tensor.name] = _fixed(tensor)
    for sparse in graph.sparse_initializer:
        known[sparse.values.name] = Fixed()
    for given in graph.input:
        if given.name not in known:
            known[given.name] = _rows(given)
        elif defaults:
            raise Unproven(f"input {given.name!r} has a default that may be replaced")
    return known


def _rows(given: "ValueInfoProto") -> Rows:
    tensor = given.type.tensor_type
    if not given.type.HasField("tensor_type") or not tensor.HasField("shape") or not tensor.shape.dim:
        raise Unproven(f"input {given.name!r} is no tensor with a shape")
    if tensor.shape.dim[0].HasField("dim_value"):
        raise Unproven(f"input {given.name!r} has no free first axis")
    # The engine takes a negative size for a free one.
    if any(dim.HasField("dim_value") and dim.dim_value < 1 for dim in tensor.shape.dim):
        raise Unproven(f"input {given.name!r} has an axis of no size")
    return Rows(len(tensor.shape.dim))


def _outputs(node: "NodeProto", known: dict[str, Known], shapes: Shapes) -> list[Known]:
    inputs = tuple(known[name] if name else None for name in node.input)
    rule = _rule(node)
    if not any(isinstance(one, Rows) for one in inputs):
        return [_computed(node, name, shapes) for name in node.output]
    if rule is None:
        raise Unproven(f"{node.op_type} of what is sent")
    step = Step(node.op_type, inputs, _attributes(node), len(node.output), _entries(shapes.get(node.input[0])))
    ranks = rule(step)
    if len(ranks) < len(node.output) or min(ranks) < 1:
        raise Unproven(f"{node.op_type} with {len(node.output)} outputs")
    return [Rows(rank) for rank in ranks[: len(node.output)]]


def _rule(node: "NodeProto") -> Rule | None:
    """The rule of a node's operator, None for one that only makes what is fixed; raises Unproven for any other."""
    rules = STANDARD if node.domain in STANDARD_DOMAINS else CLASSICAL if node.domain == CLASSICAL_DOMAIN else {}
    if node.op_type in rules:
        return rules[node.op_type]
    if node.domain in STANDARD_DOMAINS and node.op_type in MAKERS:
        return None
    raise Unproven(f"operator {node.domain}.{node.op_type}")


def _attributes(node: "NodeProto") -> dict[str, Any]:
    from onnx.helper import get_attribute_value

    return {attribute.name: get_attribute_value(attribute) for attribute in node.attribute}


def _computed(node: "NodeProto", name: str, shapes: Shapes) -> Fixed:
    """What a node makes of what is fixed; the values only of a constant that is written down."""
    if node.op_type == "Constant":
        return _constant(node)
    shape = shapes.get(name)
    return Fixed() if shape is None or None in shape else Fixed(tuple(one for one in shape if one is not None))


def _constant(node: "NodeProto") -> Fixed:
    """As the engine reads it: its first attribute, by the attribute's type and not by its name."""
    from onnx import AttributeProto
    from onnx.helper import get_attribute_value

    if len(node.attribute) != 1:
        raise Unproven("a constant that is several")
    kind, value = node.attribute[0].type, get_attribute_value(node.attribute[0])
    if kind == AttributeProto.TENSOR:
        return _fixed(value)
    if kind in (AttributeProto.INT, AttributeProto.INTS):
        array = np.array(value, np.int64)
        return Fixed(array.shape, array)
    if kind in (AttributeProto.FLOAT, AttributeProto.STRING):
        return Fixed(())
    if kind in (AttributeProto.FLOATS, AttributeProto.STRINGS):
        return Fixed((len(value),))
    return Fixed()


def _fixed(tensor: "TensorProto") -> Fixed:
    from onnx import TensorProto, numpy_helper

    shape = tuple(tensor.dims)
    small = tensor.data_type in (TensorProto.INT64, TensorProto.INT32) and prod(shape) <= VALUES_MAX
    here = small and tensor.data_location != TensorProto.EXTERNAL
    return Fixed(shape, numpy_helper.to_array(tensor) if here else None)


def _shapes(model: "ModelProto") -> Shapes:
    """Shapes as they follow from the operators: what the file itself says of its results is not believed.

    The model loses its large weights for it.
    """
    from onnx import shape_inference

    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    for tensor in model.graph.initializer:
        if prod(tensor.dims) > VALUES_MAX:
            for field in ("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data"):
                tensor.ClearField(field)
    found = shape_inference.infer_shapes(model).graph
    told = [*found.value_info, *found.input, *found.output]
    shapes: Shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for one in told:
        if one.type.tensor_type.HasField("shape") and one.name not in shapes:
            dims = one.type.tensor_type.shape.dim
            shapes[one.name] = tuple(
                dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in dims
            )
    return shapes


def _entries(shape: tuple[int | None, ...] | None) -> int | None:
    """How many values a row has; None where that is not said."""
    if not shape or None in shape[1:]:
        return None
    return prod(one for one in shape[1:] if one is not None)
