"""The generated passwords of both servers, in one file that only its owner can read."""

import json
import os
import secrets
from dataclasses import asdict, dataclass

from backend.embedded.failure import EmbeddedServerFailed
from backend.embedded.places import Places

PASSWORD_BYTES = 24


@dataclass(frozen=True, repr=False)
class Passwords:
    """Hexadecimal, so that they need no quoting in URLs, SQL or configuration files."""

    superuser: str
    owner: str
    redis: str


def load(where: Places) -> Passwords | None:
    """The passwords of a data folder, None if it has none yet; raises EmbeddedServerFailed if unreadable."""
    try:
        return Passwords(**json.loads(where.secrets.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise EmbeddedServerFailed(
            "embedded servers",
            f"cannot read {where.secrets}: {error}",
            "Run as the user that made this data folder",
        ) from error


def load_or_create(where: Places) -> Passwords:
    """The passwords of a data folder, made on first use; the caller holds the folder's lock."""
    if known := load(where):
        return known
    if where.provisioned.exists():
        raise EmbeddedServerFailed(
            "PostgreSQL",
            f"{where.secrets} is gone, but the cluster that it opens is not",
            "Put the file back",
        )
    made = Passwords(*(secrets.token_hex(PASSWORD_BYTES) for _ in range(3)))
    partial = where.secrets.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(made), file)
    partial.rename(where.secrets)
    return made
