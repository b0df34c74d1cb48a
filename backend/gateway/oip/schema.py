"""The OpenAPI description of the protocol's routes, which plain Starlette routes do not bring with them."""

from typing import Any

_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string", "examples": ["FP32"]},
        "data": {"type": "array", "description": "Flat or nested, row-major.", "items": {}},
        "parameters": {
            "type": "object",
            "properties": {
                "binary_data_size": {
                    "type": "integer",
                    "description": "Instead of data: so many bytes after the JSON part, whose length is in the header "
                    "Inference-Header-Content-Length. Little-endian, row-major; BYTES each after a length of 4 bytes.",
                }
            },
        },
    },
}
_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "parameters": {"type": "object", "properties": {"binary_data": {"type": "boolean"}}},
                },
            },
        },
        "parameters": {"type": "object", "properties": {"binary_data_output": {"type": "boolean"}}},
    },
    "example": {"inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 1.0]}]},
}
_ANYTHING: dict[str, Any] = {"type": "object"}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}}
_HEADERS: list[tuple[str, dict[str, Any], str]] = [
    (
        "Swarmex-Tier",
        {"enum": ["small", "medium", "large", "enterprise"], "default": "medium"},
        "Size tier: small pays by the request, all others by the session.",
    ),
    ("Swarmex-Limit", {"type": "string", "examples": ["0.000500000"]}, "Credits per slot-second, at most."),
    ("Swarmex-SLA", {"enum": ["true", "false"]}, "Whether the lease carries the tier's promise."),
    ("Inference-Header-Content-Length", {"pattern": "^[0-9]{1,11}$"}, "Of the JSON part, where raw tensors follow it."),
]
_RECEIPT = {
    "Swarmex-Lease": "The lease that answered.",
    "Swarmex-Node": "Its node.",
    "Swarmex-Price": "Credits per slot-second.",
    "Swarmex-Charge": "Credits, of what `Swarmex-Charge-Of` says.",
    "Swarmex-Charge-Of": "`session`: what the lease has cost so far; `request`: what this request cost (tier small).",
    "Swarmex-Latency-Ms": "Milliseconds in the gateway, the node's included.",
}


def _operation(
    summary: str,
    path: str,
    *,
    key: bool,
    body: dict[str, Any] | None = None,
    headers: bool = False,
    answer: str = "object",
) -> dict[str, dict[str, Any]]:
    """A path's only operation, in OpenAPI's words."""
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]
    operation: dict[str, Any] = {
        "summary": summary,
        "tags": ["open inference protocol"],
        "operationId": summary.lower().replace(" ", "_") + ("_version" if "version" in names else ""),
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": {"type": answer}}}}},
    }
    if key:
        operation["security"] = [{"HTTPBearer": []}]
        refusal = {"description": "Refused", "content": {"application/json": {"schema": _ERROR}}}
        operation["responses"]["4XX"] = operation["responses"]["5XX"] = refusal
    if body:
        operation["requestBody"] = {"required": body is _REQUEST, "content": {"application/json": {"schema": body}}}
    if headers:
        operation["requestBody"]["content"]["application/octet-stream"] = {
            "schema": {"type": "string", "format": "binary"}
        }
        operation["responses"]["200"]["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in _RECEIPT.items()
        }
        parameters += [
            {"name": name, "in": "header", "schema": {"type": "string", **schema}, "description": text}
            for name, schema, text in _HEADERS
        ]
    if parameters:
        operation["parameters"] = parameters
    return {"post" if body else "get": operation}


_MODEL, _VERSION = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
PATHS: dict[str, dict[str, Any]] = {
    "/v2": _operation("Server metadata", "/v2", key=False),
    "/v2/health/live": _operation("Server live", "/v2/health/live", key=False),
    "/v2/health/ready": _operation("Server ready", "/v2/health/ready", key=False),
}
PATHS["/v2/models/stats"] = _operation("Statistics", "/v2/models/stats", key=True)
PATHS["/v2/repository/index"] = _operation(
    "Repository index", "/v2/repository/index", key=True, body=_ANYTHING, answer="array"
)
for _verb in ("load", "unload"):
    _path = f"/v2/repository/models/{{model}}/{_verb}"
    PATHS[_path] = _operation(f"{_verb.capitalize()} model", _path, key=True, body=_ANYTHING)
for _path in (_MODEL, _VERSION):
    PATHS[_path] = _operation("Model metadata", _path, key=True)
    PATHS[f"{_path}/ready"] = _operation("Model ready", _path, key=True)
    PATHS[f"{_path}/config"] = _operation("Model configuration", _path, key=True)
    PATHS[f"{_path}/stats"] = _operation("Model statistics", _path, key=True)
    PATHS[f"{_path}/infer"] = _operation("Infer", _path, key=True, body=_REQUEST, headers=True)
"""Every path below /v2 with its operations."""
