"""What containers see of this machine's disk: objects, cached models, certificates, and where addresses are told."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from agents.runtimes import inside
from agents.runtimes.base import Member
from agents.runtimes.container import TEMPORARY_BYTES_MAX, USER_ID
from agents.runtimes.environment import Deployment
from agents.runtimes.faces import FACES
from backend.domain.fleet import AgentKind

SHARED = "containers"  # in the data folder
UPDATES = "training"  # among the objects: what participants of training write (backend/domain/federated/tasks.py)
FOLDERS_MAX = 10_000  # that are handed over at a start


class Files:
    """Containers run as the manager's user, so that files belong to one; for root as the image's own user."""

    def __init__(self, deployment: Deployment, own: Mapping[str, str]) -> None:
        self._folder = deployment.folder
        self._home = deployment.folder / SHARED
        self._own = own
        self._objects = inside.local_folder(deployment.objects_url)
        self._cache = deployment.model_cache
        self._owner = (os.getuid(), os.getgid()) if os.getuid() else (USER_ID, USER_ID)

    @property
    def user(self) -> str:
        """User and group of the processes in containers."""
        return "{}:{}".format(*self._owner)

    def prepare(self, member: Member) -> None:
        """Make the folders that `member` is given; root hands them over to the containers' user."""
        for place, _, read_only in self._places(member):
            place.mkdir(parents=True, exist_ok=True)
            if not read_only and os.getuid() == 0:
                for folder, _ in zip(_folders(place), range(FOLDERS_MAX), strict=False):
                    os.chown(folder, *self._owner, follow_symlinks=False)  # containers write there

    def mounts(self, member: Member) -> list[tuple[Path, Path, bool]]:
        """Folders and files here, their places in the container, and whether they can only be read."""
        files = inside.files_inside(member, self._own).values()
        return [*self._places(member), *((here, there, True) for here, there in files)]

    def _places(self, member: Member) -> list[tuple[Path, Path, bool]]:
        node, server = member.kind == AgentKind.INFERENCE, member.kind in FACES
        found = [(self._home, inside.HOME, False)] if server else []
        if self._objects is not None:
            found.append((self._objects, inside.OBJECTS, node))
            if node:
                found.append((self._objects / UPDATES, inside.OBJECTS / UPDATES, False))
        if node:
            found.append((self._cache, inside.CACHE, False))
        return found

    def temporary(self, member: Member) -> dict[str, str]:
        """Places in memory, with their options."""
        options = f"rw,noexec,nosuid,nodev,size={TEMPORARY_BYTES_MAX}"
        uid, gid = self._owner
        places = {"/tmp": options}  # noqa: S108  # in a container of its own
        if member.kind not in FACES:
            places[str(inside.HOME)] = f"{options},uid={uid},gid={gid}"
        return places

    def link_address(self, member: Member) -> None:
        """Let a server's address be found where that of a process is."""
        file = FACES[member.kind].address_file
        link, told = self._folder / file, Path(SHARED) / file
        if not (link.is_symlink() and link.readlink() == told):
            link.unlink(missing_ok=True)
            link.symlink_to(told)


def _folders(root: Path) -> Iterator[Path]:
    for place, _, _ in os.walk(root):
        yield Path(place)
