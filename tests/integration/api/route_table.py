"""The API's routes with the role that each asks for, and requests that are right in form for every one of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts

from backend.api.app import create_app
from backend.api.security import AtLeast
from backend.bootstrap import Settings, Swarmex, new_id
from backend.domain.access import Role
from tests.integration.api.requests import workload

NOBODY = str(new_id())
# What is sent where a route takes a body: right in form, but about what does not exist or cannot be.
BODIES: dict[str, dict[str, Any]] = {
    "/accounts": {"name": "Not A Name"},
    "/budgets": {"period": "year", "amount": "1"},
    "/deposits": {"account": NOBODY, "amount": "1", "reference": "r"},
    "/disputes": {"order": NOBODY, "reason": "late"},
    "/disputes/{dispute_id}/reject": {"reason": "it ran"},
    "/disputes/{dispute_id}/uphold": {"reason": "it was late"},
    "/fees": {"tier": "giant", "fee_ppm": 1},
    "/invoices": {"account": NOBODY},
    "/invoices/{document_id}/pay": {"reference": "r"},
    "/invoices/{document_id}/void": {"reason": "wrong"},
    "/keys": {"role": "nobody"},
    "/keys/{key_id}/limits": {"in_flight": 1},
    "/ledger/credits": {"amount": "1", "source": "air", "reference": "r"},
    "/ledger/refunds": {"account": NOBODY, "amount": "1", "reason": "sorry"},
    "/ledger/transfers/{transfer_id}/reverse": {"reason": "wrong"},
    "/markets/rules": {"resource_class": "fog", "region": "The Moon", "mechanism": "uniform"},
    "/meters": {"name": "Not A Name", "unit": "GB", "price": "1"},
    "/meters/{name}/prices": {"price": "1"},
    "/meters/{name}/rerate": {},
    "/models/uploads": {"name": "Not A Name", "size_bytes": 1, "sha256": "x"},
    "/models/{name}/aliases/{alias}": {"version": 1},
    "/models/{name}/versions/{version}": {},
    "/models/{name}/versions/{version}/stage": {"stage": "staging"},
    "/nodes/external": {"name": "x", "url": "nowhere", "resource_class": "cloud", "region": "eu"},
    "/nodes/join-tokens": {"resource_class": "toaster", "region": "eu"},
    "/nodes/{node_id}/join-tokens": {},
    "/nodes": {"name": "Not A Name", "resource_class": "cloud", "region": "eu", "slots": 1},
    "/offers": {"node": NOBODY, "ask": "1"},
    "/orders:batch": {"orders": []},
    "/organisations": {"name": "Not A Name"},
    "/organisations/{organisation_id}/keys": {},
    "/organisations/{organisation_id}/members": {"member": NOBODY},
    "/payouts": {"amount": "0.1", "destination": "DE02"},
    "/payouts/{payout_id}/post": {"reference": "r"},
    "/payouts/{payout_id}/reject": {"reason": "no such bank"},
    "/regions/links": {"region": "The Moon", "other": "south", "latency_ms": 9},
    "/tiers/{name}": {"slots_max": 1},
    "/training-jobs": {"trainer": "nobody", "rounds": 1, "participants": 1},
    "/training-jobs/quote": {"trainer": "nobody", "rounds": 1, "participants": 1},
    "/v1/batches": {"input_file_id": NOBODY, "endpoint": "/v2/models"},
    "/v1/files": {"purpose": "batch"},
    "/usage": {"specversion": "1.0", "id": "1", "source": "/s", "type": "nothing", "subject": "nobody"},
    "/usage/{usage_id}/void": {"reason": "twice"},
}
NO_BODY = {
    "/budgets/{budget_id}/end",
    "/incidents/{incident_id}/ack",
    "/invoices/{document_id}/credit-note",
    "/invoices/{document_id}/finalise",
    "/models/uploads/{upload_id}/complete",
    "/models/{name}/versions/{version}/restore",
    "/nodes/external/{node_id}/check",
    "/nodes/{node_id}/drain",
    "/orders/{order_id}/cancel",
    "/payouts/{payout_id}/approve",
    "/payouts/{payout_id}/cancel",
    "/training-jobs/{job_id}/cancel",
    "/v1/batches/{batch_id}/cancel",
}
WORDS = {"name": "nobody", "number": "1", "version": NOBODY, "alias": NOBODY}  # in paths, that are no ids
CLOUD_EVENT = {"Content-Type": "application/cloudevents+json"}


@dataclass(frozen=True)
class Route:
    """One method of one path, and the least role that it asks for: None where no key is asked for."""

    method: str
    path: str
    role: Role | None
    queries: frozenset[str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def names(self) -> list[str]:
        """The names in its path that stand for somebody's things."""
        return [name for name in re.findall(r"{(\w+)}", self.path) if name not in WORDS]

    def ask(
        self, client: httpx.Client, ids: Mapping[str, object] | None = None, params: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send it with these ids in its path, and nobody's for the others."""
        filled = re.sub(r"{(\w+)}", lambda m: str((ids or {}).get(m[1], WORDS.get(m[1], NOBODY))), self.path)
        short = self.path.removeprefix("/api/v1")
        body = None
        if self.method in ("POST", "PUT") and short not in NO_BODY:
            body = BODIES.get(short) if short in BODIES or self.method == "PUT" else workload(model="nobody")
        headers = CLOUD_EVENT if short == "/usage" and body else None
        return client.request(self.method, filled, json=body, headers=headers, params=params)


def route_table() -> list[Route]:
    """Every route of the API but those of the inference protocol, which have tests of their own."""
    unwired = Swarmex(Settings(), "postgresql://", "redis://127.0.0.1:1/0")  # it connects when first used
    found = []
    for route in iter_route_contexts(create_app(unwired).routes):
        if not (route.path or "").startswith("/v2") and route.methods:
            queries = frozenset(_queries(route))
            found += [Route(m, str(route.path), _role_of(route), queries) for m in route.methods - {"HEAD"}]
    return sorted(found, key=str)


def _queries(route: RouteContext) -> Iterator[str]:
    for dependant in _dependencies(getattr(route, "dependant", None)):
        yield from (field.alias for field in dependant.query_params)


def _role_of(route: RouteContext) -> Role | None:
    roles = {d.call.role for d in _dependencies(getattr(route, "dependant", None)) if isinstance(d.call, AtLeast)}
    assert len(roles) <= 1
    return roles.pop() if roles else None


def _dependencies(dependant: Dependant | None) -> Iterator[Dependant]:
    if dependant is not None:
        yield dependant
        for inner in dependant.dependencies:
            yield from _dependencies(inner)


_ALL = route_table()
NODE_ROUTES = [route for route in _ALL if re.match("/api/v1/node(/|$)", route.path)]  # with a key of another kind
ROUTES = [route for route in _ALL if route not in NODE_ROUTES]
CLOSED = [route for route in ROUTES if route.role is not None]
