"""What opens the answers of private orders, kept by whoever placed them: a file for each order in the data folder."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from backend.domain.private_envelope import sealed_in
from backend.domain.private_sealing import CannotOpen, ReplyKeys, open_answer

FOLDER = "private"


class ReplyFolder:
    """Files of mode 0600 in a folder of mode 0700; nobody else ever has what is in them."""

    def __init__(self, data_folder: Path) -> None:
        self.folder = data_folder / FOLDER

    def keep(self, keys: ReplyKeys) -> Path:
        """Write keys down before their order is placed: without them its answers could never be read."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{keys.nonce.hex()}.{os.getpid()}"
        path.touch(mode=0o600)
        path.write_text(json.dumps(keys.wire()) + "\n")
        return path

    def name(self, kept: Path, order_id: UUID) -> Path:
        """Keys that were kept belong to this order."""
        return kept.rename(self._path(order_id))

    def find(self, order_id: UUID) -> ReplyKeys | None:
        """The keys of an order, if it was placed from here."""
        return _read(self._path(order_id))

    def recover(self, order_id: UUID, results: Sequence[Mapping[str, Any]]) -> ReplyKeys | None:
        """The keys of an order whose placing was cut off before its id was known: they open one of its answers."""
        for path in sorted(self.folder.glob("*.*")):
            keys = None if path.suffix == ".json" else _read(path)
            if keys and any(_opens(keys, result) for result in results if _is_sealed(result)):
                self.name(path, order_id)
                return keys
        return None

    def _path(self, order_id: UUID) -> Path:
        return self.folder / f"{order_id}.json"


def opened(
    folder: ReplyFolder, order_id: UUID, results: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], str]:
    """Results with their sealed responses opened where that can be, and what is to be said about the others."""
    if not any(_is_sealed(result) for result in results):
        return [dict(result) for result in results], ""
    keys = folder.find(order_id) or folder.recover(order_id, results)
    if keys is None:
        return [dict(result) for result in results], (
            f"Its answers are sealed to a key that is not in {folder.folder}: whoever placed the order has it, in the"
            " data folder that it was placed from."
        )
    shown: list[dict[str, Any]] = []
    forged: list[str] = []
    for result in results:
        try:
            shown.append({**result, "response": _opened(keys, result)} if _is_sealed(result) else dict(result))
        except (CannotOpen, ValueError):
            shown.append(dict(result))
            forged.append(str(result["index"]))
    told = f"No node that the order was sealed to gave these answers: {', '.join(forged)}." if forged else ""
    return shown, told


def _read(path: Path) -> ReplyKeys | None:
    try:
        return ReplyKeys.from_wire(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _opens(keys: ReplyKeys, result: Mapping[str, Any]) -> bool:
    try:
        _opened(keys, result)
    except (CannotOpen, ValueError):
        return False
    return True


def _is_sealed(result: Mapping[str, Any]) -> bool:
    return bool(result["response"]) and set(result["response"]) == {"sealed"}


def _opened(keys: ReplyKeys, result: Mapping[str, Any]) -> Any:
    sealed = sealed_in(json.dumps(result["response"], separators=(",", ":")).encode())
    return json.loads(open_answer(keys, result["index"], sealed or b""))
