"""The standard health service, for whoever asks as Kubernetes does: `grpc.health.v1.Health/Check`, and no `Watch`."""

import grpc

from backend.domain.errors import NotFound, Unavailable
from backend.gateway.gateway import Gateway
from backend.gateway.grpc import health_pb2 as pb
from backend.gateway.grpc.call import Call
from backend.gateway.grpc.calls import SERVICE, Calls

HEALTH = "grpc.health.v1.Health"
KNOWN = ("", SERVICE)


def is_ready(gateway: Gateway) -> bool:
    """Whether requests can be served: the coordinator has answered lately."""
    try:
        gateway.changes.require_fresh()
    except Unavailable:
        return False
    return True


class Health:
    """The whole server and the service that it has are well or not at the same time; no key is asked for."""

    def __init__(self, gateway: Gateway, calls: Calls) -> None:
        self._gateway = gateway
        self._calls = calls

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a server is given to answer with."""
        check = self._calls.around(self.Check, pb.HealthCheckRequest, HEALTH)
        return grpc.method_handlers_generic_handler(HEALTH, {"Check": check})

    async def Check(self, request: pb.HealthCheckRequest, _call: Call) -> pb.HealthCheckResponse:
        """Raises NotFound for a service that is not here."""
        if request.service not in KNOWN:
            raise NotFound("service", request.service, field="service", accepted=SERVICE)
        serving = pb.HealthCheckResponse.SERVING if is_ready(self._gateway) else pb.HealthCheckResponse.NOT_SERVING
        return pb.HealthCheckResponse(status=serving)
