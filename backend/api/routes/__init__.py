"""Routes of at most ten lines, a file per noun: read the request, call one service, render its answer."""

from backend.api.routes import (
    accounts,
    deposits,
    health,
    keys,
    models,
    nodes,
    offers,
    orders,
    prices,
    quotes,
    workloads,
)

ROUTERS = tuple(
    module.router
    for module in (
        accounts,
        keys,
        deposits,
        nodes,
        offers,
        quotes,
        workloads,
        orders,
        prices,
        models,
        health,
    )
)
