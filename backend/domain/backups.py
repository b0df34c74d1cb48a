"""The manifest of a backup: what it holds, with a checksum of everything, itself included."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.domain.errors import Conflict, Invalid

FORMAT = 1
SHA256_CHARS = 64
DAMAGES_TOLD_MAX = 5


class BackupDamaged(Invalid):
    """A backup that is not what was written, or not all of it; nothing may be restored from it."""

    code = "backup_damaged"

    def __init__(self, code: str, told: str) -> None:
        super().__init__(told, code=code, field="folder", accepted="a backup as `swarmex backup` left it")


@dataclass(frozen=True, slots=True)
class Kept:
    """A file as it was when it was written."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Audited:
    """The audit of the moment that a backup holds; each difference is told in words."""

    ok: bool
    accounts: int
    transfers: int
    holds: int
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """One moment of a market: `totals` are counts, and credits as decimal strings, by what they count.

    `audit` is None where the schema was older than the program that made the backup.
    """

    product: str
    schema: str
    made_at: datetime
    server_major: int
    tool_major: int
    dump: Kept
    objects: Mapping[str, Kept]
    totals: Mapping[str, str]
    audit: Audited | None


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with one file."""

    code: str
    told: str


def to_json(manifest: Manifest) -> str:
    """The manifest as text that ends with its own checksum."""
    audit = manifest.audit
    facts: dict[str, Any] = {
        "format": FORMAT,
        "product": manifest.product,
        "schema": manifest.schema,
        "made_at": manifest.made_at.isoformat(),
        "server_major": manifest.server_major,
        "tool_major": manifest.tool_major,
        "dump": _kept_to_json(manifest.dump),
        "objects": {key: _kept_to_json(kept) for key, kept in sorted(manifest.objects.items())},
        "totals": dict(sorted(manifest.totals.items())),
        "audit": None
        if audit is None
        else {
            "ok": audit.ok,
            "accounts": audit.accounts,
            "transfers": audit.transfers,
            "holds": audit.holds,
            "differences": list(audit.differences),
        },
    }
    return json.dumps({**facts, "sha256": _checksum(facts)}, indent=2) + "\n"


def from_json(text: str | bytes) -> Manifest:
    """The manifest of that text; raises Invalid(`unknown_backup_format`), BackupDamaged(`manifest_damaged`)."""
    try:
        facts = json.loads(text)
        found = facts.pop("sha256")
        written = facts["format"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupDamaged("manifest_damaged", f"the manifest cannot be read: {error!r}") from None
    if written != FORMAT:
        raise Invalid(
            f"the backup has format {written}",
            code="unknown_backup_format",
            field="folder",
            accepted=f"format {FORMAT}, or the version of Swarmex that made it",
        )
    if found != _checksum(facts):
        raise BackupDamaged("manifest_damaged", "the manifest has been changed: its checksum is not its own")
    try:
        return _manifest(facts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupDamaged("manifest_damaged", f"the manifest cannot be read: {error!r}") from None


def require_known_schema(manifest: Manifest, latest: str) -> None:
    """Raise Conflict(`newer_schema`) for a backup of a later version than this one; an older one can be migrated."""
    if manifest.schema > latest:
        raise Conflict(
            f"the backup has schema {manifest.schema}, made by Swarmex {manifest.product}; this one knows {latest}",
            code="newer_schema",
            field="folder",
            accepted=f"Swarmex {manifest.product} or later",
        )


def require_whole(damages: Sequence[Damage]) -> None:
    """Raise BackupDamaged with the code of the first damage, telling the first few."""
    if damages:
        more = len(damages) - DAMAGES_TOLD_MAX
        told = [damage.told for damage in damages[:DAMAGES_TOLD_MAX]] + ([f"{more} more"] if more > 0 else [])
        raise BackupDamaged(damages[0].code, "; ".join(told))


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Totals that are not the same, in words."""
    return [
        f"{name}: {before.get(name, 'none')} in the backup, {after.get(name, 'none')} restored"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def differing_audits(before: Audited, after: Audited) -> list[str]:
    """What an audit of the same books found otherwise, in words."""
    counts = [
        f"{name}: {was} in the backup, {found} restored"
        for name, was, found in (
            ("accounts", before.accounts, after.accounts),
            ("transfers", before.transfers, after.transfers),
            ("holds", before.holds, after.holds),
        )
        if was != found
    ]
    new = [f"only restored: {told}" for told in sorted({*after.differences} - {*before.differences})]
    gone = [f"only in the backup: {told}" for told in sorted({*before.differences} - {*after.differences})]
    return counts + new + gone


def _manifest(facts: dict[str, Any]) -> Manifest:
    audit = facts["audit"]
    return Manifest(
        product=str(facts["product"]),
        schema=str(facts["schema"]),
        made_at=datetime.fromisoformat(facts["made_at"]),
        server_major=int(facts["server_major"]),
        tool_major=int(facts["tool_major"]),
        dump=_kept(facts["dump"]),
        objects={_safe(key): _kept(kept) for key, kept in facts["objects"].items()},
        totals={str(name): str(value) for name, value in facts["totals"].items()},
        audit=None if audit is None else Audited(**{**audit, "differences": tuple(audit["differences"])}),
    )


def _kept(facts: Mapping[str, Any]) -> Kept:
    sha256, size = facts["sha256"], facts["size_bytes"]
    if len(sha256) != SHA256_CHARS or size < 0:
        raise ValueError(f"no checksum: {sha256!r} of {size!r} bytes")
    return Kept(sha256, int(size))


def _kept_to_json(kept: Kept) -> dict[str, Any]:
    return {"sha256": kept.sha256, "size_bytes": kept.size_bytes}


def _safe(key: str) -> str:
    """The key, if it stays below the folder that it is put into."""
    if "\\" in key or "\0" in key or {"", ".", ".."} & set(key.split("/")):
        raise ValueError(f"no key: {key!r}")
    return key


def _checksum(facts: Mapping[str, Any]) -> str:
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
