"""Query parameters that a route does not have."""

import pytest

from tests.integration.api.callers import Callers


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        ("/api/v1/orders?stat=open", "state, limit, before"),
        ("/api/v1/fees?region=north", "no parameters after the question mark"),
        ("/api/v1/orders?limit=5&Limit=6", "state, limit, before"),
    ],
)
def test_a_parameter_that_a_route_does_not_have_is_refused_by_name(callers: Callers, path: str, accepted: str) -> None:
    answer = callers.user.get(path)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["accepted"]) == ("unknown_parameter", accepted)
    assert error["field"] in path


def test_parameters_that_it_has_are_taken_whatever_their_order(callers: Callers) -> None:
    assert callers.user.get("/api/v1/orders?limit=5&state=open").status_code == 200


def test_no_name_of_a_parameter_is_too_long_or_too_strange_to_be_refused(callers: Callers) -> None:
    answer = callers.user.get(f"/api/v1/orders?{'%F0%9F%92%A5' * 500}=1")
    assert answer.status_code == 422
    assert len(answer.json()["error"]["field"]) <= 200
