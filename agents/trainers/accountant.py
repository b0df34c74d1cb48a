"""How much privacy a training job has spent, by Google's accountant (`dp-accounting`)."""

from functools import lru_cache

ROUNDS_CACHED = 4_096


@lru_cache(maxsize=ROUNDS_CACHED)
def epsilon(rounds: int, sampling: float, noise_multiplier: float, delta: float) -> float:
    """ε at `delta` after `rounds` of the Gaussian mechanism, by Rényi differential privacy (Mironov 2017).

    Neighbours differ by one participant being there or not. `sampling` is the probability with which each takes part in
    a round, independently of the others and of what they know (Poisson); where nodes are chosen by anything but chance,
    it is 1 and `rounds` counts those of the node that took part most often.
    """
    if rounds == 0:
        return 0.0
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent  # slow to import
    from dp_accounting.rdp import RdpAccountant

    noise = GaussianDpEvent(noise_multiplier)
    one = noise if sampling >= 1 else PoissonSampledDpEvent(sampling, noise)
    return float(RdpAccountant().compose(SelfComposedDpEvent(one, rounds)).get_epsilon(delta))


def local_epsilon(rounds: int, noise_multiplier: float, delta: float) -> float:
    """ε at `delta` of one participant's own data after it took part in `rounds`, against whoever sees its updates.

    Neighbours are any two data sets that it may have: two clipped updates may be twice the clip apart.
    """
    return epsilon(rounds, 1.0, noise_multiplier / 2, delta)
