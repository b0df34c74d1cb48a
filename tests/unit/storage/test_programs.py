"""Which of several PostgreSQL programs is used for a server."""

from pathlib import Path

import pytest

from backend.domain.errors import Unavailable
from backend.storage import programs


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(folder: Path, told: str) -> Path:
    program = folder / "pg_dump"
    program.write_text(f"#!/bin/sh\necho '{told}'\n")
    program.chmod(0o755)
    return program


def test_the_wheels_program_of_the_servers_own_version_is_used(on_path: Path) -> None:
    install(on_path, "pg_dump (PostgreSQL) 18.1")
    for name in ("pg_dump", "pg_restore"):
        found = programs.find(name, 18)
        assert (found.major, found.path.parent.parent.name) == (18, "pginstall18")


def test_a_program_on_path_serves_where_it_is_nearer_to_the_server(on_path: Path) -> None:
    program = install(on_path, "pg_dump (PostgreSQL) 17.5 (Debian 17.5-1)")
    assert programs.find("pg_dump", 17) == programs.Program(program, 17)
    assert programs.find("pg_dump", 18).major == 18


@pytest.mark.parametrize("told", ["pg_dump (PostgreSQL) 15.2", "something else"])
def test_a_server_newer_than_every_program_is_told_with_what_to_install(on_path: Path, told: str) -> None:
    install(on_path, told)
    with pytest.raises(Unavailable, match="no pg_dump for PostgreSQL 99") as refused:
        programs.find("pg_dump", 99)
    assert (refused.value.code, refused.value.field) == ("no_postgres_programs", "PATH")
    assert "postgresql-client-99" in str(refused.value.accepted)


def test_a_program_that_cannot_be_run_is_passed_over(on_path: Path) -> None:
    program = install(on_path, "pg_dump (PostgreSQL) 99.1")
    assert programs.find("pg_dump", 99).path == program
    program.write_text("#!/bin/false\n")
    with pytest.raises(Unavailable):
        programs.find("pg_dump", 99)
