"""The OpenAPI description of the protocol's routes, which plain Starlette routes do not bring with them."""

from typing import Any

_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype", "data"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string", "examples": ["FP32"]},
        "data": {"type": "array", "description": "Flat or nested, row-major.", "items": {}},
    },
}
_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {"id": {"type": "string"}, "inputs": {"type": "array", "items": _TENSOR}},
    "example": {"inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 1.0]}]},
}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}}
_HEADERS = [
    (
        "Swarmex-Tier",
        {"enum": ["medium", "large", "enterprise"], "default": "medium"},
        "Size tier of the session.",
    ),
    ("Swarmex-Limit", {"type": "string", "examples": ["0.000500000"]}, "Credits per slot-second, at most."),
]


def _operation(
    summary: str, path: str, *, key: bool, body: bool = False, headers: bool = False
) -> dict[str, dict[str, Any]]:
    """A path's only operation, in OpenAPI's words."""
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]
    operation: dict[str, Any] = {
        "summary": summary,
        "tags": ["open inference protocol"],
        "operationId": summary.lower().replace(" ", "_") + ("_version" if "version" in names else ""),
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}},
    }
    if key:
        operation["security"] = [{"HTTPBearer": []}]
        refusal = {"description": "Refused", "content": {"application/json": {"schema": _ERROR}}}
        operation["responses"]["4XX"] = operation["responses"]["5XX"] = refusal
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _REQUEST}}}
    if headers:
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
for _path in (_MODEL, _VERSION):
    PATHS[_path] = _operation("Model metadata", _path, key=True)
    PATHS[f"{_path}/ready"] = _operation("Model ready", _path, key=True)
    PATHS[f"{_path}/infer"] = _operation("Infer", _path, key=True, body=True, headers=True)
"""Every path below /v2 with its operations."""
