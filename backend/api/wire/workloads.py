"""Workloads on the wire: the one request for every kind, and the quote that answers it."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from backend.api.wire.base import Credits, Number, TensorRequest, Tensors, Text, Wire
from backend.api.wire.needs import Needs
from backend.api.wire.private import Private
from backend.domain.machines import NO_NEEDS
from backend.domain.orders import (
    DEADLINE_S_DEFAULT,
    ITEMS_PER_ORDER_MAX,
    Strategy,
    WorkloadKind,
    WorkloadRequest,
)
from backend.domain.tiers import TierName

KINDS = [kind.value for kind in WorkloadKind]
TIERS = [tier.value for tier in TierName]
PRIORITIES = [strategy.value for strategy in Strategy]
EXAMPLE: JsonDict = {
    "workload": "batch",
    "model": "digits",
    "tier": "medium",
    "priority": "cost",
    "max_budget": "0.500000000",
    "requests": [{"inputs": [{"name": "image", "shape": [1, 2], "datatype": "FP32", "data": [0.0, 1.0]}]}],
}


class Workload(Wire):
    """What a user asks for. `requests` are Open Inference Protocol bodies; `inputs` is short for a single one."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    workload: Annotated[Text, Field(json_schema_extra={"enum": KINDS})]
    model: Text
    model_version: Number | None = Field(default=None, description="The latest unless stated.")
    tier: Annotated[Text, Field(json_schema_extra={"enum": TIERS})]
    priority: Annotated[Text, Field(json_schema_extra={"enum": PRIORITIES})] = Strategy.BALANCED.value
    max_budget: Credits | None = Field(default=None, description="Credits that this workload may cost at most.")
    limit: Credits | None = Field(default=None, description="Credits per slot-second at most; sealed.")
    requests: list[TensorRequest] | None = Field(default=None, max_length=ITEMS_PER_ORDER_MAX)
    inputs: Tensors | None = None
    region: Text | None = None
    slots: Number = 1
    deadline_s: Number = DEADLINE_S_DEFAULT
    participants: Number | None = None
    sla_required: bool = False
    needs: Needs | None = Field(default=None, description="What each node that serves it must have.")
    interruptible: bool = Field(
        default=False, description="It may lose its slots to other orders, with notice; its work then waits again."
    )
    failover: bool = Field(
        default=False, description="Other regions may serve it when the named one cannot; without a region any may."
    )
    webhook: Text | None = Field(
        default=None, description="Told of its end: an https URL; signed as `GET /api/v1/webhooks/secret` says."
    )

    private: Private | None = Field(
        default=None, description="Sealed requests, for nodes with a verified key only; then `requests` is left out."
    )

    @model_validator(mode="after")
    def _one_form_of_input(self) -> Self:
        if self.requests is not None and self.inputs is not None:
            raise PydanticCustomError("swarmex:invalid_requests", "inputs and requests", {"accepted": "one of them"})
        return self

    def request(self) -> WorkloadRequest:
        """The workload as the market knows it; raises Invalid for needs that no node could meet."""
        return WorkloadRequest(
            workload=self.workload,
            model=self.model,
            model_version=self.model_version,
            tier=self.tier,
            requests=(self.requests or []) if self.inputs is None else [{"inputs": self.inputs}],
            priority=self.priority,
            max_budget_nano=self.max_budget,
            limit_nano_per_slot_s=self.limit,
            region=self.region,
            slots=self.slots,
            deadline_s=self.deadline_s,
            participants=self.participants,
            sla_required=self.sla_required,
            needs=self.needs.needs() if self.needs else NO_NEEDS,
            interruptible=self.interruptible,
            failover=self.failover,
            webhook=self.webhook,
            private=self.private.envelope() if self.private else None,
        )
