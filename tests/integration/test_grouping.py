import subprocess
import sys
from pathlib import Path

import tests

PROJECT = Path(tests.__file__).parents[1]
TIMEOUT_S = 60.0
TEST = """
import os, pathlib, pytest

@pytest.mark.parametrize("number", range(6))
def test_where(number):
    with pathlib.Path({file!r}).open("a") as ran:
        print(os.environ["PYTEST_XDIST_WORKER"], file=ran)
"""


def test_tests_of_a_group_run_on_one_worker(tmp_path: Path) -> None:
    for folder in ("docker", "unit"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        for name in ("a", "b"):
            file = tmp_path / "tests" / folder / f"test_{folder}_{name}.py"
            file.write_text(TEST.format(file=str(tmp_path / folder)))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "tests.grouping", "-p", "no:locust"]
    environment = {"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert "24 passed" in ended.stdout, ended.stdout + ended.stderr
    assert len(set((tmp_path / "docker").read_text().split())) == 1
