"""When a session is renewed, ended or refused is decided by the clock alone."""

from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backend.domain.access import Spender
from backend.domain.errors import Conflict, Unavailable
from backend.domain.ids import AccountId, LeaseId, NodeId
from backend.domain.leases import IDLE_S, WINDOW_S
from backend.domain.tiers import TierName
from backend.domain.urgency import kept_of
from backend.gateway.admission import Admission, TierAdmission
from backend.gateway.leases.session import Session, SessionKey
from backend.storage.ids import new_id

START = datetime(2030, 1, 1, tzinfo=UTC)
PRICE_NANO = 1_000_000


def full() -> Unavailable:
    return Unavailable("full")


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def session() -> Session:
    return Session(
        key=SessionKey(Spender(AccountId(new_id())), "digits", "medium"),
        lease_id=LeaseId(new_id()),
        node_id=NodeId(new_id()),
        node_name="rack-1",
        endpoint="http://127.0.0.1:1",
        token="t",
        slots=2,
        price_nano_per_slot_s=PRICE_NANO,
        granted_at=START,
        window_ends_at=after(WINDOW_S),
        used_at=START,
    )


@pytest.mark.parametrize(("at_s", "paid"), [(0, True), (WINDOW_S - 0.001, True), (WINDOW_S, False)])
def test_requests_are_sent_in_prepaid_time_only(session: Session, at_s: float, paid: bool) -> None:
    assert session.paid(after(at_s)) is paid


@pytest.mark.parametrize(("at_s", "due"), [(0, False), (WINDOW_S / 2 - 0.001, False), (WINDOW_S / 2, True)])
def test_the_next_window_is_bought_at_half_of_the_current_one(session: Session, at_s: float, due: bool) -> None:
    assert session.due(after(at_s)) is due


@pytest.mark.parametrize(("at_s", "idle"), [(IDLE_S - 0.001, False), (IDLE_S, True)])
def test_a_session_is_idle_after_its_time_without_a_request(session: Session, at_s: float, idle: bool) -> None:
    assert session.idle(after(at_s)) is idle


def test_a_session_with_a_request_under_way_is_never_idle(session: Session) -> None:
    with session.requests.place(full):
        assert not session.idle(after(10 * IDLE_S))
    assert session.idle(after(10 * IDLE_S))


def test_every_session_is_either_renewed_or_ended_before_its_window_is_over(session: Session) -> None:
    for used_s in range(WINDOW_S):
        session.used_at = after(used_s)
        last_look = after(WINDOW_S - 0.5)
        assert session.due(last_look) or session.idle(last_look)


def test_the_charge_so_far_is_the_time_since_the_grant_and_never_beyond_the_paid_window(
    session: Session,
) -> None:
    assert session.charge_nano(START) == 0
    assert session.charge_nano(after(10)) == 10 * 2 * PRICE_NANO
    assert session.charge_nano(after(10 * WINDOW_S)) == WINDOW_S * 2 * PRICE_NANO


def test_a_limit_below_the_price_of_the_open_session_is_refused_with_the_price(session: Session) -> None:
    session.require_within(None)
    session.require_within(PRICE_NANO)
    with pytest.raises(Conflict) as refused:
        session.require_within(PRICE_NANO - 1)
    assert (refused.value.code, refused.value.field) == ("limit_below_session_price", "Swarmex-Limit")
    assert "0.001000000" in str(refused.value.accepted)


def test_what_was_measured_is_told_once_and_only_of_a_session_with_an_sla(session: Session) -> None:
    session.tally.served(1)
    assert session.untold() is None
    session.key = replace(session.key, sla=True)
    told = session.untold()
    assert told == session.tally.total()
    assert session.untold() == told  # nobody has heard it yet
    session.tally.failed()
    session.heard(told)
    session.heard(None)
    whole = session.untold()
    assert (whole and whole.requests, whole and whole.failures) == (2, 1)
    session.heard(whole)
    session.heard(told)
    assert session.untold() is None


def test_a_place_is_refused_when_all_are_taken_and_comes_back_after_an_error() -> None:
    admission = Admission(1)
    with admission.place(full), pytest.raises(Unavailable), admission.place(full):
        pass
    with pytest.raises(ZeroDivisionError), admission.place(full):
        raise ZeroDivisionError
    with admission.place(full):
        assert admission.taken == 1


def test_a_flood_of_one_tier_leaves_places_for_others() -> None:
    admission = TierAdmission(100)
    with ExitStack() as held:
        with suppress(Unavailable):
            while True:
                held.enter_context(admission.place(TierName.SMALL, full))
        with pytest.raises(ZeroDivisionError), admission.place(TierName.ENTERPRISE, full):
            raise ZeroDivisionError
        held.enter_context(admission.place(TierName.ENTERPRISE, full))
        assert admission.taken == 100 - sum(kept_of(100).values()) + kept_of(100)[TierName.SMALL] + 1
    assert admission.taken == 0
