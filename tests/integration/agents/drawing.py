"""Prints what must differ from process to process."""

import random
import secrets

import numpy as np

from backend.bootstrap import new_id


def main() -> None:
    """Ids, secrets and dice, on a line each."""
    print(*(new_id() for _ in range(5)), sep="\n")
    print(secrets.token_hex(), random.random(), np.random.default_rng().random(), sep="\n")
