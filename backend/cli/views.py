"""What is told of things: the same names and forms as in the HTTP API, with amounts as decimal strings of credits."""

from typing import TYPE_CHECKING, Any

from backend.domain.money import format_credits

if TYPE_CHECKING:
    from backend.domain.budgets import Budget
    from backend.services.accounts import AccountView
    from backend.services.api_keys import NewKey
    from backend.services.deposits import DepositView
    from backend.services.markets import MarketView
    from backend.services.nodes import OfferView
    from backend.services.organisations import Organisation
    from backend.storage.alerts import Alert
    from backend.storage.api_keys import ApiKey
    from backend.storage.models import Model
    from backend.storage.nodes import Node

Document = dict[str, Any]


def account(view: "AccountView") -> Document:
    """An account and its money."""
    return {
        "id": view.id,
        "name": view.name,
        "wallet": format_credits(view.wallet_nano),
        "reserved": format_credits(view.reserved_nano),
        "available": format_credits(view.available_nano),
        "earnings": format_credits(view.earnings_nano),
        "created_at": view.created_at,
        "type": view.type,
        "withheld": format_credits(view.withheld_nano),
        "exhausted_in_s": view.exhausted_in_s,
    }


def organisation(shown: "Organisation") -> Document:
    """An organisation with its members and budgets."""
    members = [
        {"account": m.account_id, "name": m.name, "role": m.role, "joined_at": m.joined_at} for m in shown.members
    ]
    return {"account": account(shown.account), "members": members, "budgets": [budget(b) for b in shown.budgets]}


def budget(made: "Budget") -> Document:
    """A budget and what is used of it."""
    lasts = made.since is not None
    return {
        "id": made.id,
        "account": made.account_id,
        "member": made.member_id,
        "period": made.period,
        "tier": made.tier,
        "mode": made.mode,
        "amount": format_credits(made.limit_nano),
        "used": format_credits(made.used_nano) if lasts else None,
        "left": format_credits(made.left_nano) if lasts else None,
        "used_percent": made.used_percent if lasts else None,
        "timezone": made.timezone,
        "since": made.since,
        "resets_at": made.until,
    }


def alert(told: "Alert") -> Document:
    """A threshold that was gone over."""
    return {
        "id": told.id,
        "kind": told.kind,
        "subject": told.subject_id,
        "account": told.account_id,
        "percent": told.percent,
        "limit": format_credits(told.limit_nano),
        "used": format_credits(told.used_nano),
        "since": told.since,
        "created_at": told.created_at,
    }


def key(made: "NewKey") -> Document:
    """A new key with its secret."""
    return {
        "key_id": made.key_id,
        "account": made.account_id,
        "role": made.role,
        "label": made.label,
        "secret": made.secret,
    }


def listed_key(key: "ApiKey") -> Document:
    """A key as it is listed."""
    return {
        "key_id": key.id,
        "account": key.account_id,
        "member": key.member_id,
        "member_name": key.member,
        "role": key.role,
        "label": key.label,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }


def deposit(view: "DepositView") -> Document:
    """A booked payment."""
    return {
        "transfer_id": view.transfer_id,
        "account": view.account_id,
        "amount": format_credits(view.amount_nano),
        "reference": view.reference,
        "available": format_credits(view.available_nano),
        "repeated": view.repeated,
    }


def node(found: "Node") -> Document:
    """A machine."""
    return {
        "id": found.id,
        "account": found.account_id,
        "name": found.name,
        "resource_class": found.resource_class,
        "region": found.region,
        "slots": found.slots,
        "busy_slots": found.busy_slots,
        "state": found.state,
        "queue": found.queue,
        "alive": found.alive,
        "ask": None if found.ask_nano_per_slot_s is None else format_credits(found.ask_nano_per_slot_s),
        "cores": found.cores,
        "memory_mb": found.memory_mb,
        "gpu_model": found.gpu_model,
        "gpu_memory_mb": found.gpu_memory_mb,
        "accelerators": found.accelerators,
        "residency": found.residency,
        "latency_ms": found.latency_ms,
        "trust_ppm": found.trust_ppm,
    }


def offer(view: "OfferView") -> Document:
    """An open offer."""
    return {
        "id": view.offer_id,
        "node": view.node_id,
        "version": view.version,
        "ask": format_credits(view.ask_nano_per_slot_s),
    }


def model(found: "Model") -> Document:
    """A registered model."""
    return {
        "id": found.ref.model_id,
        "name": found.ref.name,
        "version": found.ref.version,
        "checksum": found.ref.checksum,
        "size_bytes": found.size_bytes,
        "us_per_call": found.profile.us_per_call,
        "us_per_row": found.profile.us_per_row,
        "created_at": found.created_at,
        "format": found.format,
        "stage": found.stage,
        "aliases": list(found.aliases),
        "tags": dict(found.tags),
        "description": found.description,
        "deleted_at": found.deleted_at,
        **found.ref.signature.to_wire(),
    }


def price(view: "MarketView") -> Document:
    """A market now."""
    return {
        "resource_class": view.resource_class,
        "region": view.region,
        "spot_price": format_credits(view.spot_nano_per_slot_s),
        "utilisation": view.utilisation_ppm / 1_000_000,
        "slots_free": view.slots_free,
        "slots": view.slots_live,
        "nodes": view.nodes,
    }
