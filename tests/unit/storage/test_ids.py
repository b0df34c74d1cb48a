"""Ids grow with time."""

from datetime import UTC, datetime, timedelta

from backend.storage.ids import first_id_at, new_id


def test_ids_are_version_7_and_grow() -> None:
    ids = [new_id() for _ in range(1_000)]
    assert ids == sorted(ids)
    assert {i.version for i in ids} == {7}


def test_the_first_id_of_a_moment_is_above_all_older_and_below_all_newer() -> None:
    now = datetime.now(UTC)
    assert first_id_at(now - timedelta(seconds=1)) < new_id() < first_id_at(now + timedelta(seconds=10))
    assert first_id_at(now).version == 7
