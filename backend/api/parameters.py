"""Query parameters: a misspelt filter is refused, since an answer without it would be taken for a filtered one."""

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from backend.api.validation import field_name
from backend.domain.errors import Invalid


async def only_known(request: Request) -> None:
    """Raise Invalid (`unknown_parameter`) for a query parameter that this route does not have."""
    if not request.scope["query_string"]:
        return
    known = _names(request.scope["route"])
    for name in request.query_params:
        if name not in known:
            field = field_name(("query", name))
            raise Invalid(
                f"{field} is not a parameter of this request",
                code="unknown_parameter",
                field=field,
                accepted=", ".join(known) or "no parameters after the question mark",
            )


def _names(route: APIRoute) -> list[str]:
    return [param.alias for param in get_flat_params(route.dependant) if isinstance(param.field_info, Query)]
