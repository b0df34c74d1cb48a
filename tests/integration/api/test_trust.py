"""Trust over HTTP: everybody sees the score, its owner and admins why."""

from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.machines import TRUST_NEW_PPM
from backend.domain.trust import Evidence
from backend.services import trust
from backend.storage.trust import Found
from tests.integration.api.callers import Callers, problem
from tests.integration.api.supply import Supply


def test_a_buyer_sees_a_nodes_score_and_its_owner_and_admins_also_why(
    callers: Callers, market: Swarmex, supply: Supply
) -> None:
    path = f"/api/v1/nodes/{supply.node.id}/trust"
    new = callers.user.get(path).json()
    assert new == {
        "node": str(supply.node.id),
        "name": supply.node.name,
        "trust_ppm": TRUST_NEW_PPM,
        "explanation": None,
    }
    with market.uow() as uow:
        uow.trust.record([Found(supply.node.id, callers.user.account_id, Evidence.SERVED, 8)], utc_now())
        uow.trust.record([Found(supply.node.id, None, Evidence.CANARY_PASSED, 2)], utc_now())
        uow.commit()
    trust.rescore(market.uow(), utc_now())
    told = callers.user.get(path).json()
    assert told["explanation"] is None
    assert told["trust_ppm"] > TRUST_NEW_PPM
    for client in (callers.provider, callers.admin):
        shown = client.get(path)
        document = shown.json()
        assert document["trust_ppm"] == told["trust_ppm"]
        why = document["explanation"]
        assert why["before_ppm"] == TRUST_NEW_PPM
        assert [(part["kind"], part["buyer"], part["count"]) for part in why["parts"]] == [
            ("served", 1, 8),
            ("canary_passed", None, 2),
        ]
        assert why["lately"] == why["parts"]
        assert all(part["effect_ppm"] > 0 for part in why["parts"])
        assert str(callers.user.account_id) not in shown.text


def test_a_node_that_does_not_exist_has_no_trust(callers: Callers) -> None:
    assert problem(callers.user.get(f"/api/v1/nodes/{new_id()}/trust"))[:2] == (404, "unknown_node")
    assert problem(callers.user.get("/api/v1/nodes/one/trust"))[0] == 422
