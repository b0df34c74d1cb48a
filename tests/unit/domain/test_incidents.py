"""Incidents: one of a kind and subject at a time, opened by what is found, over once it is calm."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.ids import IncidentId
from backend.domain.incidents import (
    CALM,
    Decision,
    Finding,
    Incident,
    IncidentKind,
    IncidentState,
    Severity,
    decide,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUEUE = IncidentKind.QUEUE_OLD


def found(
    subject: str = "q", severity: Severity = Severity.WARNING, summary: str = "s", holds: bool = False
) -> Finding:
    return Finding(QUEUE, subject, severity, summary, {"items": 1}, holds)


def known(subject: str = "q", kind: IncidentKind = QUEUE, seen_s: float = 0.0) -> Incident:
    seen_at = NOW - timedelta(seconds=seen_s)
    return Incident(IncidentId(UUID(int=1)), kind, subject, Severity.WARNING, "old", {}, seen_at, seen_at)


def test_what_is_found_opens_once_and_is_seen_again_while_it_lasts() -> None:
    assert decide([found(), found()], [], NOW) == Decision(opened=(found(),))
    [again] = decide([found()], [known(seen_s=2)], NOW).seen
    assert (again.seen_at, again.summary, again.details) == (NOW, "s", {"items": 1})
    assert again.state is IncidentState.OPEN


def test_what_only_holds_opens_nothing_and_keeps_open_what_is() -> None:
    assert decide([found(holds=True)], [], NOW) == Decision()
    [held] = decide([found(holds=True)], [known(seen_s=99)], NOW).seen
    assert (held.seen_at, held.summary) == (NOW, "old")


def test_what_is_gone_is_over_after_it_has_been_calm() -> None:
    calm_s = CALM[QUEUE].total_seconds()
    assert decide([], [known(seen_s=calm_s - 1)], NOW) == Decision()
    [over] = decide([], [known(seen_s=calm_s)], NOW).resolved
    assert (over.resolved_at, over.state) == (NOW, IncidentState.RESOLVED)


def test_of_one_subject_the_worst_counts_and_it_never_gets_milder() -> None:
    critical = found(severity=Severity.CRITICAL, summary="bad")
    assert decide([found(), critical, found(holds=True)], [], NOW).opened == (critical,)
    worse = decide([critical], [known()], NOW)
    assert worse.worsened == worse.seen
    assert worse.seen[0].severity is Severity.CRITICAL
    milder = decide([found()], list(worse.seen), NOW)
    assert milder.worsened == ()
    assert milder.seen[0].severity is Severity.CRITICAL


def test_an_incident_is_told_with_words_and_times() -> None:
    told = known().document()
    assert (told["kind"], told["severity"], told["state"], told["resolved_at"]) == (
        "queue_old",
        "warning",
        "open",
        None,
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40))
def test_whatever_comes_and_goes_there_is_never_more_than_one_open_of_a_subject(
    looks: list[tuple[int, bool]],
) -> None:
    open_now: list[Incident] = []
    now = NOW
    for subject, holds in looks:
        now += timedelta(seconds=7)
        decided = decide([found(str(subject), holds=holds)], open_now, now)
        kept = {incident.id: incident for incident in open_now} | {incident.id: incident for incident in decided.seen}
        ended = {incident.id for incident in decided.resolved}
        open_now = [incident for incident in kept.values() if incident.id not in ended]
        open_now += [
            Incident(
                IncidentId(UUID(int=hash((now, f.subject)) % 2**100)), f.kind, f.subject, f.severity, "", {}, now, now
            )
            for f in decided.opened
        ]
        assert len({(i.kind, i.subject) for i in open_now}) == len(open_now)
        assert all(now - i.seen_at < CALM[i.kind] for i in open_now)
