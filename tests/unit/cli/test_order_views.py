"""Orders as people read them."""

from typing import Any

import pytest

from backend.cli.order_views import told

ORDER: dict[str, Any] = {"slots": 4, "needs": {}, "would_match": None, "reason": None}
LACKING = [
    {"need": "cores", "wanted": "8", "best": "4"},
    {"need": "residency", "wanted": "fr", "best": "none"},
]


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        ({}, None),
        ({"dedicated": True}, "dedicated"),
        ({"cores": 8, "residency": ["de", "fr"], "spread": True}, "cores 8; residency de, fr; spread"),
    ],
)
def test_needs_are_told_as_they_are_typed(needs: dict[str, Any], words: str | None) -> None:
    assert told(ORDER | {"needs": needs})["needs"] == words


@pytest.mark.parametrize(
    ("hint", "reason", "words"),
    [
        (None, None, None),
        ({"limit": "0.2"}, "outbid", "a limit above 0.2"),
        ({"limit": "0.2"}, "limit_below_market", "a limit of 0.2"),
        ({"needs": LACKING}, "needs_unmet", "cores: 8 wanted, 4 is the best; residency: fr wanted, none has it"),
    ],
)
def test_what_would_have_matched_is_told_in_words(
    hint: dict[str, Any] | None, reason: str | None, words: str | None
) -> None:
    assert told(ORDER | {"would_match": hint, "reason": reason})["would_match"] == words


@pytest.mark.parametrize(
    ("leases", "slots"),
    [
        ([], 4),
        ([("active", 1)], "1 of 4 slots"),
        ([("active", 3), ("active", 1)], 4),
        ([("ended", 3), ("active", 2)], "2 of 4 slots"),
        ([("ended", 1), ("ended", 2)], "3 of 4 slots"),
        ([("ended", 4), ("ended", 4)], 4),
    ],
)
def test_fewer_slots_than_were_asked_for_are_told(leases: list[tuple[str, int]], slots: object) -> None:
    served = [{"state": state, "slots": count} for state, count in leases]
    assert told(ORDER, served)["slots"] == slots
