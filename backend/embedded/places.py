"""Where the servers of a data folder keep their files.

Everything lies in the data folder, except when root runs them for an account that cannot get there (a
checkout below a 0700 folder). Parent folders are never loosened for that: the clusters then lie below
SYSTEM_FOLDER and the data folder holds a pointer to them.
"""

import hashlib
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from backend.embedded.account import Account
from backend.embedded.failure import EmbeddedServerFailed

SYSTEM_FOLDER = Path("/var/lib/swarmex")
LOCK = "servers.lock"
POINTER = "servers.home"
OWNER = "data-folder"  # in a home below SYSTEM_FOLDER: the folder that should point to it
UNIX_SOCKET_PATH_MAX = 107  # bytes; sun_path less its closing zero


@dataclass(frozen=True)
class Places:
    """`folder` is the caller's: passwords and logs. `home` is what the servers' account must reach."""

    folder: Path
    home: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data; owned by the servers' account."""
        return self.home / "postgresql"

    @property
    def partial_cluster(self) -> Path:
        """A cluster that is being made, or whose making was cut short."""
        return self.home / "postgresql.partial"

    @property
    def superuser_password(self) -> Path:
        """Exists while a cluster is being made."""
        return self.home / "superuser.partial"

    @property
    def provisioned(self) -> Path:
        """Exists once the cluster has its role and its database."""
        return self.home / "postgresql.ready"

    @property
    def postgres_configuration(self) -> Path:
        return self.home / "postgresql.conf"

    @property
    def postgres_access(self) -> Path:
        return self.home / "pg_hba.conf"

    @property
    def redis(self) -> Path:
        """Redis's working folder; owned by the servers' account."""
        return self.home / "redis"

    @property
    def redis_link(self) -> Path:
        """Link to the binary that is run, so that the title of the process names this home."""
        return self.home / "redis-server"

    @property
    def redis_configuration(self) -> Path:
        return self.folder / "redis.conf"

    @property
    def secrets(self) -> Path:
        return self.folder / "servers.json"

    @property
    def postgres_log(self) -> Path:
        return self.folder / "postgresql.log"

    @property
    def redis_log(self) -> Path:
        return self.folder / "redis.log"

    @property
    def cluster_name(self) -> str:
        """Shown in the title of each PostgreSQL process; tells clusters on one machine apart."""
        return f"swarmex-{_hash(self.home)}"

    def socket_folder(self, port: int) -> Path | None:
        """Where PostgreSQL puts its Unix socket; None if the path would be too long for one."""
        longest = len(str(self.cluster / f".s.PGSQL.{port}").encode())
        return self.cluster if longest <= UNIX_SOCKET_PATH_MAX else None


def canonical(folder: Path) -> Path:
    """The one spelling of `folder` that every process uses."""
    return folder.expanduser().resolve()


def existing(folder: Path) -> Places | None:
    """The places of a data folder in use, else None; raises EmbeddedServerFailed if its clusters are gone."""
    try:
        home = Path((folder / POINTER).read_text().strip())
    except FileNotFoundError:
        inside = Places(folder, folder)
        return inside if inside.secrets.exists() else None
    if not home.is_dir():
        raise EmbeddedServerFailed(
            "PostgreSQL",
            f"its data should be in {home}, which is gone",
            f"Put it back, or delete {folder / POINTER} and {Places(folder, home).secrets} to begin anew",
        )
    return Places(folder, home)


def choose(folder: Path, account: Account, system_folder: Path = SYSTEM_FOLDER) -> Places:
    """The places for a data folder that is used for the first time; the caller holds its lock."""
    if not account.is_other or account.can_enter(folder):
        return Places(folder, folder)
    # A folder that is deleted and made again must not find its predecessor's data: hence the random part.
    home = system_folder / "clusters" / f"{_hash(folder)}-{secrets.token_hex(4)}"
    for made in (system_folder, home.parent, home):
        make_folder(made, 0o711)
    (home / OWNER).write_text(f"{folder}\n")
    partial = folder / f"{POINTER}.partial"
    partial.write_text(f"{home}\n")
    partial.rename(folder / POINTER)
    return Places(folder, home)


def abandoned(system_folder: Path = SYSTEM_FOLDER) -> list[Places]:
    """Homes below `system_folder` that no data folder points to any more: it was deleted, or moved."""
    found = []
    for record in system_folder.glob(f"clusters/*/{OWNER}"):
        folder = Path(record.read_text().strip())
        try:
            pointed = (folder / POINTER).read_text().strip()
        except OSError:
            pointed = ""
        if pointed != str(record.parent):
            found.append(Places(folder, record.parent))
    return found


def make_folder(path: Path, mode: int) -> None:
    """Make `path` with `mode` whatever the umask is; one that exists stays as it is."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    path.chmod(mode)


def delete(folder: Path) -> None:
    """Delete what the servers keep, in and outside `folder`; the caller has its lock and stopped them."""
    where = existing(folder)
    if where is None:
        return
    for tree in (where.cluster, where.redis):
        shutil.rmtree(tree, ignore_errors=True)
    if where.home != folder:
        shutil.rmtree(where.home, ignore_errors=True)
    logs = [where.postgres_log, where.redis_log]
    for file in (
        where.provisioned,
        where.postgres_configuration,
        where.postgres_access,
        where.redis_link,
        where.redis_configuration,
        *logs,
        *(log.with_suffix(".log.1") for log in logs),
        where.secrets,
        where.secrets.with_suffix(".partial"),
        folder / f"{POINTER}.partial",
        folder / POINTER,
        folder / LOCK,
    ):
        file.unlink(missing_ok=True)


def _hash(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:16]
