"""When operators keep rows apart: each rule gives the ranks of a node's outputs, or raises Unproven.

Rules hold from version 13 of the standard operators on.
"""

from collections.abc import Callable
from math import prod

from agents.engines.row_proof.values import Fixed, Rows, Step

Rule = Callable[[Step], list[int]]


def each_value(step: Step) -> list[int]:
    """Values of the same place meet, after broadcasting."""
    given = [one for one in step.inputs if one is not None]
    rank = next(one.rank for one in given if isinstance(one, Rows))
    for one in given:
        if one.rank != rank if isinstance(one, Rows) else not one.spreads(rank):
            raise step.no("broadcasting would set rows against others")
    return [rank]


def image(step: Step) -> list[int]:
    """Batch, channels and space: convolutions, pools, norms of an instance."""
    step.rest_fixed()
    return [step.rows(rank_min=3).rank]


def batch_norm(step: Step) -> list[int]:
    step.rest_fixed()
    if step.attributes.get("training_mode", 0):
        raise step.no("statistics of all rows")
    return [step.rows(rank_min=2).rank]


def dropout(step: Step) -> list[int]:
    step.rest_fixed()
    if step.given(2) is not None:
        raise step.no("a mode of training")
    return [step.rows().rank]


def along_axis(default: int) -> Rule:
    """Along one axis that is not that of the rows."""

    def rule(step: Step) -> list[int]:
        rank = step.rows().rank
        step.rest_fixed()
        step.axis(default, rank)
        return [rank]

    return rule


def layer_norm(step: Step) -> list[int]:
    rank = step.rows().rank
    step.axis(-1, rank)
    for place in range(1, len(step.inputs)):
        if step.inputs[place] is not None and not step.fixed(place).spreads(rank):
            raise step.no("a parameter for each row")
    return [rank]


def reduce(step: Step) -> list[int]:
    rank = step.rows().rank
    listed = step.attributes.get("axes")
    axes = list(listed) if listed is not None else step.whole_numbers(1)
    if not axes:
        raise step.no("over everything")
    places = {step.beside_rows(axis, rank) for axis in axes}
    return [rank if step.attributes.get("keepdims", 1) else rank - len(places)]


def arg(step: Step) -> list[int]:
    rank = step.rows().rank
    step.axis(0, rank)
    return [rank if step.attributes.get("keepdims", 1) else rank - 1]


def top_k(step: Step) -> list[int]:
    [rank] = along_axis(-1)(step)
    return [rank, rank]


def cumulate(step: Step) -> list[int]:
    rank = step.rows().rank
    [axis] = step.whole_numbers(1)
    step.beside_rows(axis, rank)
    return [rank]


def transpose(step: Step) -> list[int]:
    order = step.attributes.get("perm")
    if not order or order[0] != 0:
        raise step.no("moves the axis of the rows")
    return [step.rows().rank]


def flatten(step: Step) -> list[int]:
    rank, axis = step.rows().rank, int(step.attributes.get("axis", 1))
    if (axis + rank if axis < 0 else axis) != 1:
        raise step.no("rows become one, or several")
    return [2]


def reshape(step: Step) -> list[int]:
    """The first axis is kept as it is, or is what is left for it when each row keeps its values."""
    step.rows()
    wanted = step.whole_numbers(1)
    kept = bool(wanted) and wanted[0] == 0 and not step.attributes.get("allowzero", 0)
    rest = wanted[1:]
    left = bool(wanted) and wanted[0] == -1 and all(one > 0 for one in rest) and prod(rest) == step.entries
    if not (kept or left):
        raise step.no("values may go to other rows")
    return [len(wanted)]


def squeeze(step: Step) -> list[int]:
    rank = step.rows().rank
    axes = {step.beside_rows(axis, rank) for axis in step.whole_numbers(1)}
    if not axes:
        raise step.no("one row may lose its axis")
    return [rank - len(axes)]


def unsqueeze(step: Step) -> list[int]:
    axes = step.whole_numbers(1)
    rank = step.rows().rank + len(axes)
    for axis in axes:
        step.beside_rows(axis, rank)
    return [rank]


def concat(step: Step) -> list[int]:
    [rank] = {step.rows(place).rank for place in range(len(step.inputs))} if _alike(step) else {0}
    if not rank:
        raise step.no("inputs of several ranks")
    step.axis(0, rank)
    return [rank]


def split(step: Step) -> list[int]:
    [rank] = along_axis(0)(step)
    return [rank] * step.outputs


def cut(step: Step) -> list[int]:
    rank = step.rows().rank
    step.rest_fixed()
    for axis in step.whole_numbers(3):
        step.beside_rows(axis, rank)
    return [rank]


def gather(step: Step) -> list[int]:
    """Parts of each row, or what each row points at in a fixed table."""
    data, places = step.given(0), step.given(1)
    if isinstance(data, Rows) and isinstance(places, Fixed) and places.shape is not None:
        step.axis(0, data.rank)
        return [data.rank - 1 + len(places.shape)]
    if isinstance(data, Fixed) and isinstance(places, Rows) and data.shape and step.attributes.get("axis", 0) == 0:
        return [places.rank + len(data.shape) - 1]
    raise step.no("what is looked up comes of several rows")


def gather_elements(step: Step) -> list[int]:
    rank = step.rows(0).rank
    if step.rows(1).rank != rank:
        raise step.no("inputs of several ranks")
    step.axis(0, rank)
    return [rank]


def pad(step: Step) -> list[int]:
    rank = step.rows().rank
    step.rest_fixed()
    pads = step.whole_numbers(1)
    if step.given(3) is not None or len(pads) != 2 * rank or pads[0] or pads[rank]:
        raise step.no("rows are added")
    return [rank]


def expand(step: Step) -> list[int]:
    rank, shape = step.rows().rank, step.whole_numbers(1)
    if len(shape) > rank or (len(shape) == rank and shape[0] != 1):
        raise step.no("rows are repeated")
    return [rank]


def tile(step: Step) -> list[int]:
    rank, repeats = step.rows().rank, step.whole_numbers(1)
    if len(repeats) != rank or repeats[0] != 1:
        raise step.no("rows are repeated")
    return [rank]


def one_hot(step: Step) -> list[int]:
    rank = step.rows().rank + 1
    step.rest_fixed()
    step.axis(-1, rank)
    return [rank]


def matmul(step: Step) -> list[int]:
    left, right = step.given(0), step.given(1)
    if isinstance(left, Rows) and isinstance(right, Rows):
        if left.rank != right.rank or left.rank < 3:
            raise step.no("rows are multiplied with others")
        return [left.rank]
    fixed = right if isinstance(left, Rows) else left
    rank = step.rows(0, 2).rank if isinstance(left, Rows) else step.rows(1, 3).rank
    if not isinstance(fixed, Fixed) or not fixed.shape or not (len(fixed.shape) <= 2 or fixed.spreads(rank)):
        raise step.no("a factor for each row")
    return [rank - (len(fixed.shape) == 1)]


def gemm(step: Step) -> list[int]:
    added = step.given(2)
    step.fixed(1)
    if step.rows().rank != 2 or step.attributes.get("transA", 0):
        raise step.no("rows are multiplied with others")
    if added is not None and (added.rank != 2 if isinstance(added, Rows) else not added.spreads(2)):
        raise step.no("a summand for each row")
    return [2]


def quantise(step: Step) -> list[int]:
    rank, scale = step.rows().rank, step.fixed(1)
    step.rest_fixed()
    if scale.shape is None or len(scale.shape) > 1:
        raise step.no("a scale for each row")
    if len(scale.shape) == 1:
        step.axis(1, rank)
    return [rank]


def lower_triangle(step: Step) -> list[int]:
    step.rest_fixed()
    return [step.rows(rank_min=3).rank]


def table(*ranks: int) -> Rule:
    """A classical model on a table of features."""

    def rule(step: Step) -> list[int]:
        if any(not isinstance(one, Rows) or one.rank != 2 for one in step.inputs):
            raise step.no("not a table")
        return list(ranks)

    return rule


def features(step: Step) -> list[int]:
    step.fixed(1)
    return [step.rows(rank_min=2).rank]


def one_hot_feature(step: Step) -> list[int]:
    return [step.rows().rank + 1]


def _alike(step: Step) -> bool:
    return len({step.rows(place).rank for place in range(len(step.inputs))}) == 1
