"""Rules of markets: read by anyone, changed by admins."""

from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.errors import NotFound
from backend.domain.market_rules import MarketRule, RuleChange, changed, check_market
from backend.services import log
from backend.storage.contention import patient
from backend.storage.unit_of_work import UnitOfWork


def list_rules(uow: UnitOfWork) -> list[MarketRule]:
    """The rules of every market that has a price, or rules before it has one."""
    with uow:
        return uow.market_rules.effective()


@patient
def set_rule(
    uow: UnitOfWork, now: datetime, principal: Principal, resource_class: str, region: str, change: RuleChange
) -> MarketRule:
    """Change a market's rules from its next epoch on; what is not named stays. Raises Forbidden, or Invalid."""
    principal.require(Role.ADMIN)
    market = check_market(resource_class, region)
    with uow:
        rule = changed(uow.market_rules.lock(market), change)
        uow.market_rules.put(rule)
        log.record(
            uow,
            now,
            principal,
            "market.rules",
            f"market {market}",
            mechanism=rule.mechanism,
            floor_nano=rule.control.floor_nano,
            cap_nano=rule.control.cap_nano,
            target_ppm=rule.control.target_ppm,
        )
        uow.commit()
    return rule


@patient
def reset_rule(uow: UnitOfWork, now: datetime, principal: Principal, resource_class: str, region: str) -> MarketRule:
    """Give a market the defaults again, from its next epoch on; returns them.

    Raises Forbidden, Invalid, or NotFound(`unknown_market_rules`) with the markets that have rules of their own.
    """
    principal.require(Role.ADMIN)
    market = check_market(resource_class, region)
    with uow:
        uow.market_rules.lock(market)
        if not uow.market_rules.drop(market):
            own = [str(rule.market) for rule in uow.market_rules.effective() if rule.own]
            raise NotFound("market rules", f"of {market}", field="region", accepted=", ".join(own) or "none has any")
        log.record(uow, now, principal, "market.rules_reset", f"market {market}")
        uow.commit()
    return MarketRule(market)
