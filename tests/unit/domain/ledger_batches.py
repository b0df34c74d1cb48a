"""Random operations on few accounts and holds, good and bad ones, so that they meet."""

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import strategies as st

from backend.domain.ledger import HoldState, Linked, Operation, Post
from tests.unit.domain.ledgers import (
    EXPIRES_AT,
    KINDS,
    PAID,
    UNKNOWN,
    capture,
    deposit,
    expire,
    linked,
    more,
    release,
    reserve,
    reverse,
    transfer,
)

_amounts = st.integers(-2, 60)
_accounts = st.sampled_from([*KINDS, UNKNOWN])
_holds = st.integers(1, 4)
_operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(deposit, _amounts, _accounts),
    st.builds(Post, st.builds(transfer, _amounts, _accounts, _accounts)),
    st.builds(reserve, _holds, _amounts, _accounts),
    st.builds(more, _holds, _amounts),
    st.builds(capture, _holds, _amounts, debit=_accounts, credit=_accounts),
    st.builds(capture, _holds, _amounts),
    st.builds(release, _holds, st.sampled_from([HoldState.VOIDED, HoldState.EXPIRED]), st.none() | _amounts),
    st.builds(expire, _holds, st.sampled_from([EXPIRES_AT, EXPIRES_AT - timedelta(seconds=1)])),
    st.builds(reverse, st.just(PAID) | st.builds(transfer, st.just(19), number=st.sampled_from([7, 103]))),
)
_groups: st.SearchStrategy[Linked] = st.lists(_operations, max_size=4).map(lambda group: linked(*group))
batches: st.SearchStrategy[Sequence[Operation | Linked]] = st.lists(st.one_of(_operations, _groups), max_size=12)
