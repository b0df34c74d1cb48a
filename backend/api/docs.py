"""The OpenAPI schema of both faces; the pages that show it (/docs, /redoc) load nothing from elsewhere."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from backend.gateway.oip.schema import PATHS

DESCRIPTION = """\
Buy and sell AI compute. Money is always a decimal string of credits, never a JSON number. Every refusal has a stable
`code`, the `field` at fault and what would be `accepted`. Requests that write may carry an `Idempotency-Key`: the
same key with the same body gets the first answer again.
"""


def install(app: FastAPI) -> None:
    """Let `app` describe the Open Inference Protocol's routes beside its own."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            built = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            built["paths"].update(PATHS)
            app.openapi_schema = built
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]  # the documented way to extend a schema
