"""Who the servers run as: PostgreSQL refuses to run as root, so root hands both to an unprivileged one."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

CANDIDATES = ("postgres", "nobody")
COMMAND_TIMEOUT_S = 60
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C",
    "TZ": "UTC",
}  # no PG*, no secrets of ours


@dataclass(frozen=True)
class Account:
    """A user and group id to run commands as; None is the account of this process."""

    uid: int | None = None
    gid: int | None = None

    @property
    def is_other(self) -> bool:
        """True when the servers run as somebody else than this process."""
        return self.uid is not None

    def run(
        self,
        command: Sequence[str | Path],
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.STDOUT,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `command` in a session of its own, out of Ctrl-C's reach; raises OSError, TimeoutExpired."""
        return subprocess.run(
            command,
            user=self.uid,
            group=self.gid,
            extra_groups=[] if self.is_other else None,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    def can_enter(self, folder: Path) -> bool:
        """True if the account can traverse to `folder` and into it."""
        return self._succeeds(["/bin/sh", "-c", 'cd "$1"', "sh", folder])

    def can_run(self, binary: Path) -> bool:
        """True if the account can reach and execute `binary`."""
        return self._succeeds([binary, "--version"])

    def take(self, path: Path) -> None:
        """Make `path` the account's own."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def _succeeds(self, command: Sequence[str | Path]) -> bool:
        try:
            return self.run(command).returncode == 0
        except OSError:
            return False


def account_for(cluster: Path | None) -> Account:
    """The account for the servers: ours, but for root the owner of `cluster` or an unprivileged one."""
    if os.geteuid() != 0:
        return Account()
    if cluster is not None and cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in CANDIDATES:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(user.pw_uid, user.pw_gid)
    raise LookupError(f"none of the users {', '.join(CANDIDATES)} exists")
