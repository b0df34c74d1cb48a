"""What `swarmex node join` asks of a market far away, and what it keeps of the answer."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from backend.domain.errors import Invalid, SwarmexError, Unavailable
from backend.domain.joining import PROTOCOL

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 15.0
NODE_FILE = "node.json"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Refused(SwarmexError):
    """What the market answered instead."""

    def __init__(self, code: str, message: str, field: str | None = None, accepted: str | None = None) -> None:
        super().__init__(message, code=code, field=field, accepted=accepted)


@dataclass(frozen=True, slots=True)
class Membership:
    """A node that this machine is, by the file that only its owner reads."""

    url: str
    node_id: str
    name: str
    key: str

    def keep(self, path: Path) -> None:
        """Write the file; whoever reads meanwhile sees the old one or the new one whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(asdict(self)) + "\n")
        fresh.replace(path)

    @staticmethod
    def kept(path: Path) -> "Membership | None":
        """What is in the file, None where there is none; raises Invalid(`invalid_node_file`)."""
        try:
            return Membership(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise Invalid(
                f"{path} cannot be read: {error}",
                code="invalid_node_file",
                field="SWARMEX_DATA_FOLDER",
                accepted="a folder in which `swarmex node join URL --token TOKEN` ran, or a fresh one",
            ) from None


def join(url: str, token: str, machine: dict[str, Any]) -> tuple[Membership, dict[str, Any]]:
    """Use a token; the membership and the node as the market sees it."""
    answer = ask(url, "POST", "/api/v1/nodes/join", {"version": PROTOCOL, "token": token} | machine)
    try:
        node, key = answer["node"], answer["key"]
        return Membership(url, str(node["id"]), str(node["name"]), str(key)), node
    except (KeyError, TypeError):
        raise _no_market(url) from None


def node_of(member: Membership) -> dict[str, Any]:
    """The node as the market sees it; raises Refused(`node_key_refused`) when its key is revoked."""
    found = ask(member.url, "GET", "/api/v1/node", None, member.key)
    if not isinstance(found, dict):
        raise _no_market(member.url)
    return found


def report_hardware(member: Membership, found: dict[str, Any]) -> None:
    """Say what the machine has by now."""
    ask(member.url, "POST", "/api/v1/node/hardware", {"version": PROTOCOL} | found, member.key)


def offer(member: Membership, ask_credits: str) -> None:
    """Offer the node's slots from a price up."""
    ask(member.url, "POST", "/api/v1/node/offer", {"version": PROTOCOL, "ask": ask_credits}, member.key)


def ask(url: str, method: str, path: str, body: dict[str, Any] | None, key: str | None = None) -> Any:
    """The answer of the market; raises Refused in its own words, Invalid or Unavailable for a URL where it is not."""
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.request(method, url.rstrip("/") + path, json=body, headers=headers, timeout=TIMEOUT_S)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Invalid(
            f"{url[:200]} is not a URL: {error}", code="invalid_url", field="url", accepted="https://… of a market"
        ) from None
    except httpx.HTTPError as error:
        raise Unavailable(
            f"no answer from {url}: {error}", code="market_unreachable", field="url", accepted="the market's address"
        ) from None
    if not answer.is_success:
        raise _refusal(url, answer, key)
    try:
        return answer.json()
    except ValueError:
        raise _no_market(url) from None


def is_exposed(url: str) -> bool:
    """Whether the key travels in the clear, to another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in LOOPBACK


def _refusal(url: str, answer: "httpx.Response", key: str | None) -> SwarmexError:
    try:
        error = answer.json()["error"]
        code, message, field, accepted = (error[name] for name in ("code", "message", "field", "accepted"))
    except (ValueError, KeyError, TypeError):
        return _no_market(url)
    if code == "unknown_route":
        return _no_market(url)
    if answer.status_code == 401 and key is not None:
        return Refused("node_key_refused", "the market does not know this node's key any more", "key", accepted)
    return Refused(code, message, field, accepted)


def _no_market(url: str) -> Invalid:
    return Invalid(f"there is no market at {url[:200]}", code="no_market", field="url", accepted="the market's address")
