"""A model that stands elsewhere: a small JSON document that names an Open Inference Protocol server and its model.

The document is registered in place of a model file, and has its checksum. It holds no credential.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.domain.errors import Invalid, shown
from backend.domain.tensors import DATATYPES, Signature, TensorSpec
from backend.domain.work import Profile

FORMAT = "open-inference-protocol"
DOCUMENT_BYTES_MAX = 64 << 10
TENSORS_MAX = 64  # on one side
AXES_MAX = 16
AXIS_MAX = 1 << 31
PORT_MAX = 65_535
PROFILE_US_MAX = 600_000_000

_URL = re.compile(r"(https?://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5}))/?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[0-9]{1,18}")
_ACCEPTED = (
    f'a JSON object: "format": "{FORMAT}", "url", "model", perhaps "version", "inputs", "outputs" as the'
    ' protocol\'s model metadata lists them, and "profile": {"us_per_call", "us_per_row"}'
)


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """Where a model stands, what it takes and gives, and how long its provider says that it takes."""

    url: str  # scheme, host and port
    model: str
    version: str | None
    signature: Signature
    profile: Profile

    @property
    def host(self) -> str:
        """`host:port`, as an operator allows it."""
        return self.url.partition("://")[2]

    @property
    def path(self) -> str:
        """Where the server has the model."""
        return f"/v2/models/{self.model}" + (f"/versions/{self.version}" if self.version else "")


def is_remote(head: bytes) -> bool:
    """Whether a file that begins so is such a document: no ONNX file begins with a brace."""
    return head.lstrip()[:1] == b"{"


def parse_remote(document: bytes) -> RemoteModel:
    """The model that a document names; raises Invalid(`invalid_remote_model`) naming the field."""
    if len(document) > DOCUMENT_BYTES_MAX:
        raise _invalid("file", f"{len(document)} bytes", f"at most {DOCUMENT_BYTES_MAX} bytes")
    try:
        told = json.loads(document)
    except (ValueError, RecursionError):
        raise _invalid("file", "not JSON", _ACCEPTED) from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise _invalid("format", "another format", _ACCEPTED)
    version = told.get("version")
    if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version)):
        raise _invalid("version", shown(version), "a string of digits, or none for the newest")
    model = told.get("model")
    if not (isinstance(model, str) and _NAME.fullmatch(model)):
        raise _invalid("model", shown(model), "letters, digits, '.', '_' and '-'")
    signature = Signature(read_specs(told, "inputs"), read_specs(told, "outputs"))
    return RemoteModel(_url(told.get("url")), model, version, signature, _profile(told.get("profile")))


def _url(url: object) -> str:
    accepted = "http://host:port or https://host:port, with nothing after it"
    found = _URL.fullmatch(url) if isinstance(url, str) else None
    if found is None or not 1 <= int(found[2]) <= PORT_MAX:
        raise _invalid("url", shown(url), accepted)
    return found[1].lower()


def read_specs(told: Mapping[str, Any], side: str) -> tuple[TensorSpec, ...]:
    """One side of a signature, as the protocol's model metadata lists it; raises Invalid naming the field."""
    listed = told.get(side)
    if not isinstance(listed, list) or not 1 <= len(listed) <= TENSORS_MAX:
        raise _invalid(side, shown(listed), f"a list of 1 to {TENSORS_MAX} tensors")
    specs: dict[str, TensorSpec] = {}
    for index, tensor in enumerate(listed):
        name, datatype, shape = _parts(tensor)
        if not isinstance(name, str) or not 1 <= len(name) <= 200 or name in specs:
            raise _invalid(f"{side}[{index}].name", shown(name), "a name, each once")
        if not isinstance(datatype, str) or datatype not in DATATYPES:
            raise _invalid(f"{side}[{index}].datatype", shown(datatype), ", ".join(DATATYPES))
        if not isinstance(shape, list) or len(shape) > AXES_MAX or not all(_is_axis(axis) for axis in shape):
            raise _invalid(f"{side}[{index}].shape", shown(shape), f"at most {AXES_MAX} axes, -1 or from 1 on")
        specs[name] = TensorSpec(name, datatype, tuple(shape))
    return tuple(specs.values())


def _parts(tensor: object) -> tuple[object, object, object]:
    if not isinstance(tensor, Mapping):
        return None, None, None
    return tensor.get("name"), tensor.get("datatype"), tensor.get("shape")


def _is_axis(axis: object) -> bool:
    return type(axis) is int and (axis == -1 or 1 <= axis <= AXIS_MAX)


def _profile(told: object) -> Profile:
    times: list[Any] = [told.get(name) for name in ("us_per_call", "us_per_row")] if isinstance(told, Mapping) else []
    if not times or not all(type(us) is int and 1 <= us <= PROFILE_US_MAX for us in times):
        raise _invalid("profile", shown(told), f"us_per_call and us_per_row, each 1 to {PROFILE_US_MAX} microseconds")
    return Profile(*times)


def _invalid(field: str, found: str, accepted: str) -> Invalid:
    return Invalid(f"no remote model: {found}", code="invalid_remote_model", field=field, accepted=accepted)
