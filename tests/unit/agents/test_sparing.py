"""What an agent remembers of items that it could not begin."""

from collections.abc import Sequence

import pytest

from agents.inference import sparing
from agents.inference.sparing import Spared
from backend.domain.ids import ItemId
from backend.storage.ids import new_id


def ids(count: int) -> Sequence[ItemId]:
    return [ItemId(new_id()) for _ in range(count)]


def test_an_item_is_spared_only_so_often_until_it_has_run_or_failed() -> None:
    spared, [one, other] = Spared(), ids(2)
    for _ in range(sparing.SPARED_MAX):
        assert spared.may_be(one)
        spared.count([one])
    assert not spared.may_be(one)
    assert spared.may_be(other)
    spared.forget([one, other])
    assert spared.may_be(one)


def test_of_the_items_that_were_spared_only_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparing, "SPARED_MAX", 1)
    monkeypatch.setattr(sparing, "SPARED_ITEMS_MAX", 2)
    spared, [first, second, third] = Spared(), ids(3)
    spared.count([first, second])
    spared.count([first, third])
    assert [spared.may_be(one) for one in (first, second, third)] == [False, True, False]
