"""The gRPC face as one of the fleet: listed with its address, asked how it is, and drained like any agent."""

from pathlib import Path

import grpc
import pytest

from backend.bootstrap import Swarmex, utc_now
from backend.domain.access import Principal, Role
from backend.domain.fleet import AgentKind, AgentState
from backend.domain.health import Verdict
from backend.services import activity, fleet
from tests.integration.api.callers import TIMEOUT_S, Callers
from tests.integration.api.grpc_process import ADDRESS_FILE, grpc_process
from tests.waiting import PATIENCE_S, until

CHECK = "/grpc.health.v1.Health/Check"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
OURS = b"\x0a\x1einference.GRPCInferenceService"
NOBODYS = b"\x0a\x06nobody"


def test_it_is_listed_with_its_address_and_ends_when_it_is_drained(
    market: Swarmex, callers: Callers, tmp_path: Path
) -> None:
    admin = Principal(None, callers.admin.account_id, Role.ADMIN)
    with grpc_process(market, tmp_path / "grpc", agent_name="grpc-0") as (process, address):
        until(lambda: fleet.list_agents(market.uow()), "it has beaten")
        [agent] = fleet.list_agents(market.uow())
        assert (agent.kind, agent.name, agent.state) == (AgentKind.GRPC, "grpc-0", AgentState.UP)
        assert (agent.endpoint, agent.pid) == (f"grpc://{address}", process.pid)
        assert agent.tick_age_ms is not None, "whether its loop turns is part of how it is"
        [seen] = activity.look(market.uow(), utc_now())
        assert seen.diagnosis is not None
        assert seen.diagnosis.verdict is Verdict.HEALTHY
        fleet.drain_agent(market.uow(), utc_now(), admin, "grpc-0")
        assert process.wait(PATIENCE_S) == 0
    [agent] = fleet.list_agents(market.uow())
    assert agent.state is AgentState.STOPPED
    assert not (tmp_path / "grpc" / ADDRESS_FILE).exists()


def test_it_answers_the_standard_question_for_its_health(market: Swarmex, tmp_path: Path) -> None:
    limits = {"FAIL_CLOSED_S": -1.0}  # nothing that the coordinator said is recent enough
    with (
        grpc_process(market, tmp_path / "well") as (_, well),
        grpc_process(market, tmp_path / "stale", limits) as (_, stale),
        grpc.insecure_channel(well) as channel,
        grpc.insecure_channel(stale) as other,
    ):
        check = channel.unary_unary(CHECK)
        assert [check(asked, timeout=TIMEOUT_S) for asked in (b"", OURS)] == [SERVING, SERVING]
        with pytest.raises(grpc.RpcError) as refused:
            check(NOBODYS, timeout=TIMEOUT_S)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert other.unary_unary(CHECK)(b"", timeout=TIMEOUT_S) == NOT_SERVING
