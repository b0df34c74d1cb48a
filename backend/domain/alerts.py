"""Alerts: a budget or a wallet is used up to a threshold; each is told once."""

from enum import StrEnum


class AlertKind(StrEnum):
    """What is being used up."""

    BUDGET = "budget"
    WALLET = "wallet"  # since money last came in
