"""Regions: how far apart they are, as admins state it."""

from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.errors import NotFound
from backend.domain.regions import check_link, check_pair
from backend.services.log import record
from backend.storage.regions import Link
from backend.storage.unit_of_work import UnitOfWork


def list_links(uow: UnitOfWork) -> list[Link]:
    """Every pair of regions that somebody has measured."""
    with uow:
        return uow.regions.links()


def put_link(uow: UnitOfWork, now: datetime, principal: Principal, region: str, other: str, latency_ms: int) -> Link:
    """State how far two regions are from one another, both ways; raises Forbidden, or Invalid with the field."""
    principal.require(Role.ADMIN)
    link = Link(*check_link(region, other, latency_ms))
    with uow:
        uow.regions.put(link)
        record(uow, now, principal, "region.link", f"region {link.region}", other=link.other, latency_ms=latency_ms)
        uow.commit()
    return link


def drop_link(uow: UnitOfWork, now: datetime, principal: Principal, region: str, other: str) -> Link:
    """Forget how far two regions are from one another; returns what was stated.

    Raises Forbidden, Invalid, or NotFound(`unknown_region_link`).
    """
    principal.require(Role.ADMIN)
    pair = check_pair(region, other)
    with uow:
        link = uow.regions.drop(*pair)
        if link is None:
            raise NotFound("region link", " – ".join(pair), field="other", accepted="two regions that are linked")
        record(uow, now, principal, "region.unlink", f"region {link.region}", other=link.other)
        uow.commit()
    return link
