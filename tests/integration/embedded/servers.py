"""What the tests of embedded servers have in common: a folder, a look at its servers, a foreign listener."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import redis

from backend import embedded
from backend.embedded import Servers, binaries, places
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[3]
ENSURE = """
import sys
from pathlib import Path
from backend import embedded
up = embedded.ensure(Path(sys.argv[1]), durable=False)
print(up.started, up.database_url, up.redis_url)
"""


def data_folder() -> Iterator[Path]:
    """A data folder that was never used; removed at the end with its servers."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="swarmex-embedded-", dir=memory if memory.is_dir() else None))
    folder.chmod(0o711)
    yield folder
    embedded.remove(folder)
    shutil.rmtree(folder)


def up_in(folder: Path) -> Servers:
    return embedded.ensure(folder)


def urls_of(up: Servers) -> tuple[str, str]:
    return up.database_url, up.redis_url


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].partition("/")[0])


def conninfo_of(up: Servers) -> str:
    return up.database_url.replace("+psycopg", "")


def query(up: Servers, statement: str) -> object:
    with psycopg.connect(conninfo_of(up), connect_timeout=60) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def redis_of(up: Servers) -> redis.Redis:
    return redis.Redis.from_url(up.redis_url, socket_timeout=60)


def processes_of(folder: Path) -> list[psutil.Process]:
    """The servers of a data folder, which their command lines name, and what a dead one left behind."""
    title = places.Places(folder, folder).cluster_name
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            alive = process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            continue
        server = any(f"{folder}/{name} " in f"{line} " for name in ("postgresql", "redis-server"))
        orphan = title in line and process.ppid() == 1
        if alive and (server or orphan):
            found.append(process)
    return found


def link_packages(folder: Path) -> None:
    for name in (binaries.POSTGRES_WHEEL, f"{binaries.POSTGRES_WHEEL}.libs", binaries.REDIS_WHEEL):
        package = Path(psycopg.__file__).parents[1] / name
        if package.exists():
            (folder / name).symlink_to(package)


def ensure_in_a_process(folder: Path, packages: Path | None = None) -> list[str]:
    """`ensure` in a process of its own; returns the words that it printed when its pipes are closed."""
    path = os.pathsep.join(str(entry) for entry in (packages, ROOT) if entry)
    done = subprocess.run(
        [sys.executable, "-c", ENSURE, str(folder)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return done.stdout.split()


class Listener:
    """A server of somebody else: takes connections, notes what it is told, and refuses."""

    def __init__(self, port: int, heard: list[bytes]) -> None:
        self.socket = socket.create_server(("127.0.0.1", port))
        self.heard = heard
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(timeout=PATIENCE_S)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(60)
                while request := connection.recv(4096):
                    self.heard.append(request)
                    connection.sendall(b"-ERR not yours\r\n")
