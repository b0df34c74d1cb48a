"""Limits of keys: set by admins as they like and by owners below that, and read by the gateways."""

from dataclasses import dataclass
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.errors import NotFound
from backend.domain.events import Event, Topic
from backend.domain.ids import KeyId
from backend.domain.rates import NONE, Face, Limits, OwnLimits, SetBy, ceilings, check_own, effective
from backend.services.api_keys import find_own_key
from backend.services.log import record
from backend.services.managing import check_manages
from backend.storage.unit_of_work import UnitOfWork

CHANGED_RATES = "rates"


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What counts for a key on each face, and what was set for it by whom."""

    key_id: KeyId
    faces: dict[Face, Limits]
    operator: OwnLimits
    owner: OwnLimits


def limits_of(uow: UnitOfWork, key_id: KeyId) -> dict[Face, Limits]:
    """What counts for a key on each face; of a key that nothing was set for, what everybody has."""
    with uow:
        return _view(uow, key_id).faces


def show_limits(uow: UnitOfWork, principal: Principal, key_id: KeyId) -> KeyLimits:
    """The limits of a key of the caller's account (admins: of any); raises NotFound."""
    with uow:
        find_own_key(uow, key_id, principal)
        return _view(uow, key_id)


def set_limits(uow: UnitOfWork, now: datetime, principal: Principal, key_id: KeyId, limits: OwnLimits) -> KeyLimits:
    """Set a key's limits in place of those that the same side had set: admins freely, owners below what they have.

    Raises NotFound, Forbidden(`owner_needed`) for members, or Invalid with the field; gateways follow within a second.
    """
    with uow:
        side = _side(uow, principal, key_id)
        known = uow.rates.of(key_id)
        check_own(limits, ceilings(known.get(SetBy.OPERATOR, NONE)) if side is SetBy.OWNER else None)
        uow.rates.put(key_id, side, limits, principal.actor if principal.key_id else None, now)
        _tell(uow)
        record(uow, now, principal, "key.limit", f"key {key_id}", side=side, **limits.given())
        view = _view(uow, key_id)
        uow.commit()
    return view


def remove_limits(uow: UnitOfWork, now: datetime, principal: Principal, key_id: KeyId) -> KeyLimits:
    """Forget what the caller's side set for a key (admins: both sides); returns what counts now.

    Raises NotFound(`unknown_key`), or NotFound(`unknown_key_limits`) when nothing was set; Forbidden as above.
    """
    with uow:
        side = _side(uow, principal, key_id)
        if not uow.rates.drop(key_id, list(SetBy) if side is SetBy.OPERATOR else [side]):
            raise NotFound("key limits", f"of key {key_id} were set", field="key")
        _tell(uow)
        record(uow, now, principal, "key.unlimit", f"key {key_id}", side=side)
        view = _view(uow, key_id)
        uow.commit()
    return view


def _side(uow: UnitOfWork, principal: Principal, key_id: KeyId) -> SetBy:
    """As whom the caller sets limits of a key."""
    bearer = find_own_key(uow, key_id, principal)
    if principal.role is Role.ADMIN:
        return SetBy.OPERATOR
    check_manages(uow, principal, bearer.account_id)
    return SetBy.OWNER


def _tell(uow: UnitOfWork) -> None:
    """Let gateways know; the event only makes them look sooner."""
    uow.changes.bump(CHANGED_RATES)
    uow.emit(Event(Topic.KEYS_CHANGED))


def _view(uow: UnitOfWork, key_id: KeyId) -> KeyLimits:
    known = uow.rates.of(key_id)
    operator, owner = (known.get(side, NONE) for side in (SetBy.OPERATOR, SetBy.OWNER))
    return KeyLimits(key_id, {face: effective(face, operator, owner) for face in Face}, operator, owner)
