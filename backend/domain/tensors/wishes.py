"""What a request says besides its inputs: its id, its parameters, and which outputs it wants in which form."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.domain.errors import InvalidTensor, shown
from backend.domain.tensors.signature import Signature

ID_CHARS_MAX = 200
_NONE: Mapping[str, Any] = {}


def read_wishes(body: Mapping[str, Any], signature: Signature) -> dict[str, bool]:
    """Which outputs a request wants, and whether each as a raw buffer; raises InvalidTensor."""
    names = [spec.name for spec in signature.outputs]
    raw = _flag(parameters_of(body, "parameters"), "binary_data_output", default=False, field="parameters")
    outputs = body.get("outputs", [])
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise InvalidTensor("outputs is a list of names", field="outputs", accepted=_listed(names))
    wishes: dict[str, bool] = {}
    for index, output in enumerate(outputs):
        name, field = output.get("name"), f"outputs[{index}]"
        if not isinstance(name, str) or name not in names or name in wishes:
            raise InvalidTensor(
                f"output {shown(name)} is unknown or named twice", field=f"{field}.name", accepted=_listed(names)
            )
        parameters = parameters_of(output, f"{field}.parameters")
        if "classification" in parameters:
            raise InvalidTensor(
                "classes of outputs are not offered",
                code="classification_not_offered",
                field=f"{field}.parameters.classification",
                accepted="the output itself",
            )
        wishes[name] = _flag(parameters, "binary_data", default=raw, field=f"{field}.parameters")
    return wishes or dict.fromkeys(names, raw)


def read_id(body: Mapping[str, Any]) -> str | None:
    """The id to echo, None if there is none; raises InvalidTensor."""
    if "id" not in body:
        return None
    identity = body["id"]
    if not isinstance(identity, str) or len(identity) > ID_CHARS_MAX:
        raise InvalidTensor("id is a string", field="id", accepted=f"at most {ID_CHARS_MAX} characters")
    return identity


def parameters_of(holder: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """The parameters of a request or tensor, of which any are tolerated but what cannot be honoured."""
    if "parameters" not in holder:
        return _NONE
    parameters = holder["parameters"]
    if not isinstance(parameters, dict):
        raise InvalidTensor("parameters is an object", field=field, accepted="an object of names and values")
    if any(isinstance(name, str) and name.startswith("shared_memory") for name in parameters):
        raise InvalidTensor(
            "shared memory is not offered: the node is another machine",
            code="shared_memory_not_offered",
            field=field,
            accepted="data, or binary_data_size and the data after the JSON part",
        )
    if "private" in parameters:
        raise InvalidTensor(
            "such a request is read on its way: it would not be private",
            code="private_not_offered",
            field=field,
            accepted="an order whose requests are sealed: `private` of `POST /api/v1/workloads`",
        )
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, *, default: bool, field: str) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidTensor(f"{name} is true or false", field=f"{field}.{name}", accepted="true, false")
    return value


def _listed(names: Sequence[str]) -> str:
    return f"each at most once: {', '.join(names)}"
