"""Books in which orders need more of a node than a slot: few values, so that some machines suit and some do not."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from backend.domain.auctions import Bid
from backend.domain.machines import NO_NEEDS, Machine, Needs
from backend.domain.orders import Strategy
from tests.unit.domain.books import Rows, ask, books

machines = st.builds(
    lambda busy, cores, gpu, residency, latency, trust: (busy, cores, gpu, residency, latency, trust),
    st.integers(0, 1),
    st.sampled_from([1, 8]),
    st.sampled_from([None, "a100"]),
    st.sampled_from([None, "eu", "us"]),
    st.sampled_from([5, 50]),
    st.sampled_from([50_000, 900_000]),
)
needs = st.builds(
    Needs,
    cores=st.sampled_from([0, 0, 4, 16]),
    gpu_model=st.sampled_from([None, None, "a100"]),
    residency=st.sampled_from([(), (), ("eu",), ("eu", "us")]),
    latency_ms_max=st.sampled_from([None, None, 10]),
    trust_min_ppm=st.sampled_from([0, 0, 500_000]),
    spread=st.booleans(),
    dedicated=st.sampled_from([False, False, False, True]),
    only=st.sampled_from([(), (), (), (ask(1, 1).node_id, ask(2, 1).node_id)]),
    never=st.sampled_from([(), (), (ask(3, 1).node_id,)]),
)


def _with_needs(
    rows: Rows,
    wanted: Sequence[Needs],
    found: Sequence[tuple[int, int, str | None, str | None, int, int]],
    strategies: Sequence[Strategy],
) -> Rows:
    bids = tuple(
        replace(order, needs=wants, strategy=strategy)
        for order, wants, strategy in zip(rows.bids, wanted, strategies, strict=False)
    )
    asks = tuple(
        replace(
            offer,
            machine=Machine(
                offer.node_id,
                offer.slots + busy,
                busy,
                cores,
                gpu_model=gpu,
                residency=residency,
                latency_ms=latency,
                trust_ppm=trust,
            ),
        )
        for offer, (busy, cores, gpu, residency, latency, trust) in zip(rows.asks, found, strict=False)
    )
    return replace(rows, bids=bids, asks=asks)


MOST = 6


def _needy(wants: st.SearchStrategy[Needs], strategies: st.SearchStrategy[Strategy]) -> st.SearchStrategy[Rows]:
    return st.builds(
        _with_needs,
        books(most=MOST, price_max=40, slots_max=4),
        st.lists(wants, min_size=MOST, max_size=MOST),
        st.lists(machines, min_size=MOST, max_size=MOST),
        st.lists(strategies, min_size=MOST, max_size=MOST),
    )


needy_books = _needy(needs | st.just(NO_NEEDS), st.sampled_from(Strategy))
cheap_books = _needy(needs.map(lambda n: replace(n, dedicated=False)), st.just(Strategy.COST))  # without soft scores


def dedicated(rows: Rows) -> list[Bid]:
    """Orders that take only whole nodes."""
    return [order for order in rows.bids if order.needs.dedicated]
