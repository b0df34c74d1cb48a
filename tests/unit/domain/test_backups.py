"""The manifest of a backup: read back as it was written, or refused."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from backend.domain.backups import (
    DAMAGES_TOLD_MAX,
    Audited,
    BackupDamaged,
    Damage,
    Kept,
    Manifest,
    differing,
    differing_audits,
    from_json,
    require_known_schema,
    require_whole,
    to_json,
)
from backend.domain.errors import Conflict, Invalid

KEPT = Kept("a" * 64, 5)
MADE = Manifest(
    product="1.2.3",
    schema="0002",
    made_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    server_major=18,
    tool_major=18,
    dump=KEPT,
    objects={"models/b.onnx": KEPT, "models/a.onnx": Kept("b" * 64, 0)},
    totals={"accounts": "2", "wallet balances": "1.500000000"},
    audit=Audited(False, 1, 2, 3, ("one", "two")),
)


@pytest.mark.parametrize("manifest", [MADE, replace(MADE, audit=None), replace(MADE, objects={})])
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert from_json(to_json(manifest)) == manifest


def test_a_manifest_of_the_same_facts_is_the_same_text() -> None:
    turned = replace(MADE, objects=dict(reversed(list(MADE.objects.items()))))
    assert to_json(turned) == to_json(MADE)


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"sha256": "x"}', b"\xff\xfe\x00", to_json(MADE)[:-20]])
def test_what_is_no_manifest_is_refused(text: str | bytes) -> None:
    assert _refusal(text) == "manifest_damaged"


@pytest.mark.parametrize("name", sorted(set(json.loads(to_json(MADE))) - {"format", "sha256"}))
def test_a_fact_that_was_changed_or_taken_away_is_noticed(name: str) -> None:
    facts = json.loads(to_json(MADE))
    assert _refusal(json.dumps({**facts, name: "other"})) == "manifest_damaged"
    del facts[name]
    assert _refusal(json.dumps(facts)) == "manifest_damaged"


def test_another_format_is_told_apart_from_damage() -> None:
    assert _refusal(json.dumps({**json.loads(to_json(MADE)), "format": 2})) == "unknown_backup_format"


@pytest.mark.parametrize("key", ["/etc/passwd", "../up", "a/../../b", "a//b", "./a", ".", "", "a\\b", "a\0b"])
def test_an_object_outside_of_the_backup_is_refused(key: str) -> None:
    assert _refusal(to_json(replace(MADE, objects={key: KEPT}))) == "manifest_damaged"


@pytest.mark.parametrize("kept", [Kept("short", 1), Kept("a" * 64, -1)])
def test_a_checksum_that_is_none_is_refused(kept: Kept) -> None:
    assert _refusal(to_json(replace(MADE, dump=kept))) == "manifest_damaged"


def test_only_a_later_schema_cannot_be_restored() -> None:
    require_known_schema(MADE, "0002")
    require_known_schema(MADE, "0010")
    with pytest.raises(Conflict, match="schema 0002") as refused:
        require_known_schema(MADE, "0001")
    assert (refused.value.code, refused.value.accepted) == ("newer_schema", "Swarmex 1.2.3 or later")


def test_the_first_damage_gives_the_code_and_the_first_few_are_told() -> None:
    require_whole([])
    found = [Damage("file_missing", "a"), *(Damage("object_damaged", f"b{n}") for n in range(DAMAGES_TOLD_MAX + 1))]
    with pytest.raises(BackupDamaged, match="a; b0; b1; b2; b3; 2 more") as refused:
        require_whole(found)
    assert (refused.value.code, refused.value.field) == ("file_missing", "folder")
    with pytest.raises(BackupDamaged, match=r"^a$"):
        require_whole(found[:1])


def test_totals_that_differ_are_told_on_both_sides() -> None:
    assert differing({"a": "1", "b": "2"}, {"b": "2", "a": "1"}) == []
    assert differing({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == [
        "a: 1 in the backup, none restored",
        "b: 2 in the backup, 3 restored",
        "c: none in the backup, 4 restored",
    ]


def test_audits_differ_by_what_they_counted_and_by_what_they_found() -> None:
    audit = Audited(False, 1, 2, 3, ("one", "two"))
    assert differing_audits(audit, replace(audit, differences=("two", "one"))) == []
    assert differing_audits(audit, Audited(False, 1, 5, 4, ("two", "three"))) == [
        "transfers: 2 in the backup, 5 restored",
        "holds: 3 in the backup, 4 restored",
        "only restored: three",
        "only in the backup: one",
    ]
    assert differing_audits(audit, replace(audit, accounts=0)) == ["accounts: 1 in the backup, 0 restored"]


def _refusal(text: str | bytes) -> str:
    with pytest.raises(Invalid) as refused:
        from_json(text)
    return refused.value.code
