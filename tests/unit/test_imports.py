"""The domain is pure: what its modules import directly is all that they can touch."""

import sys
from pathlib import Path

import grimp
import pytest

LIBRARIES = {"nacl", "numpy", "ortools", "scipy"}
SEALING = "backend.domain.private_sealing"  # libsodium draws randomness that nobody else should choose
# Standard modules that reach the clock, the machine, the network or other processes.
IMPURE = {
    "asyncio",
    "concurrent",
    "http",
    "io",
    "multiprocessing",
    "os",
    "pathlib",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
}
PURE = (sys.stdlib_module_names - IMPURE) | LIBRARIES


def impure_imports(package: str) -> set[tuple[str, str]]:
    """Pairs (module of `package`, module that it imports although a pure one may not)."""
    graph = grimp.build_graph(package.partition(".")[0], include_external_packages=True, cache_dir=None)
    modules = {package} | graph.find_descendants(package)
    return {
        (module, imported)
        for module in modules
        for imported in graph.find_modules_directly_imported_by(module)
        if imported not in modules and imported.partition(".")[0] not in PURE
    }


def test_the_domain_imports_pure_modules_of_the_standard_library_numpy_scipy_ortools_and_nacl_only() -> None:
    assert impure_imports("backend.domain") == set()


def test_one_module_of_the_domain_seals() -> None:
    graph = grimp.build_graph("backend", include_external_packages=True, cache_dir=None)
    importers = {module for module in graph.find_modules_that_directly_import("nacl") if module.startswith("backend")}
    assert importers == {SEALING}


def test_an_import_of_io_of_the_clock_or_of_another_layer_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = tmp_path / "market" / "domain"
    domain.mkdir(parents=True)
    (tmp_path / "market" / "__init__.py").touch()
    (tmp_path / "market" / "storage.py").touch()
    (domain / "__init__.py").touch()
    (domain / "money.py").write_text("import decimal\nimport numpy.linalg\n")
    (domain / "bids.py").write_text("from market.domain import money\nimport time\nimport sqlalchemy\n")
    (domain / "asks.py").write_text("from market import storage\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert impure_imports("market.domain") == {
        ("market.domain.bids", "time"),
        ("market.domain.bids", "sqlalchemy"),
        ("market.domain.asks", "market.storage"),
    }
