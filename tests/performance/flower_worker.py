"""Run by the Python of an environment that has Flower: aggregates with it and prints the seconds that it took.

`flower_worker.py PARTICIPANTS SIZE MALICIOUS`, then a line with a strategy's name for each measurement. Timed is
`aggregate_fit`: from updates as a Flower server has received them to the weights that it would send.
"""

import logging
import sys
import time

import numpy as np
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters  # type: ignore[import-not-found,unused-ignore]
from flwr.server import strategy as flower  # type: ignore[import-not-found,unused-ignore]

SEED = 11


def main() -> None:
    """Answer until the input ends."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    participants, size, malicious = map(int, sys.argv[1:])
    dice = np.random.default_rng(SEED)
    received = []
    for _ in range(participants):
        parameters = ndarrays_to_parameters([dice.standard_normal(size, np.float32)])
        received.append((None, FitRes(Status(Code.OK, ""), parameters, 10, {})))
    strategies = {
        "fedavg": flower.FedAvg(inplace=False),
        "fedavg_in_place": flower.FedAvg(inplace=True),
        "krum": flower.Krum(num_malicious_clients=malicious),
        "median": flower.FedMedian(),
        "trimmed_mean": flower.FedTrimmedAvg(beta=0.2),
    }
    print("ready", flush=True)
    for line in sys.stdin:
        strategy = strategies[line.strip()]
        started = time.perf_counter()
        strategy.aggregate_fit(2, received, [])
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
