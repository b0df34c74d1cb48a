"""The fee schedule: read by anyone, set by admins for a time to come."""

from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.errors import unknown_choice
from backend.domain.fees import FeeVersion, check_fee, check_start
from backend.domain.tiers import TierName
from backend.services import log
from backend.storage.contention import patient
from backend.storage.unit_of_work import UnitOfWork


def list_fees(uow: UnitOfWork) -> list[FeeVersion]:
    """Every version of every tier's fee, also those that are over or still to come."""
    with uow:
        return uow.fees.versions()


@patient
def set_fee(
    uow: UnitOfWork, now: datetime, principal: Principal, tier: str, fee_ppm: int, valid_from: datetime | None = None
) -> FeeVersion:
    """Set a tier's fee from a moment on, now if none is named; orders that are placed already keep theirs.

    Raises Forbidden, or Invalid for a tier, fee or time that cannot be.
    """
    principal.require(Role.ADMIN)
    if tier not in [t.value for t in TierName]:
        raise unknown_choice("tier", tier, [t.value for t in TierName])
    check_fee(fee_ppm)
    since = check_start(valid_from, now) if valid_from else now
    with uow:
        version = FeeVersion(TierName(tier), uow.fees.lock_latest(TierName(tier)) + 1, fee_ppm, since, now)
        uow.fees.add(version)
        log.record(
            uow, now, principal, "fee.set", f"tier {tier}", fee_ppm=fee_ppm, version=version.version, valid_from=since
        )
        uow.commit()
    return version
