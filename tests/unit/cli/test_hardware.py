"""What a machine is found to have, whatever its tools answer."""

import stat
from pathlib import Path

import pytest

from backend.cli import hardware
from backend.domain.machines import ACCELERATORS_MAX, check_hardware


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("", (None, 0, 0)),
        ("NVIDIA A100-SXM4-80GB, 81920\n" * 2, ("a100-sxm4-80gb", 81_920, 2)),
        ("Tesla T4, 15360\nNVIDIA A100, 40960\nNVIDIA A100, 40000\n", ("a100", 40_000, 2)),
        ("No devices were found\n", (None, 0, 0)),
        ("NVIDIA H100, [N/A]\n", (None, 0, 0)),
        ("Café™ GPU, 8\n", ("caf- gpu", 8, 1)),
        ("™, 8\n", ("gpu", 8, 1)),
        ("x, 8\n" * 1_000, ("x", 8, ACCELERATORS_MAX)),
        (f"{'y' * 100}, 999999999999\n", ("y" * 63, 1 << 25, 1)),
    ],
)
def test_gpus_are_read_from_what_the_driver_lists(listed: str, found: tuple[str | None, int, int]) -> None:
    model, memory_mb, number = hardware.gpus(listed)
    assert (model, memory_mb, number) == found
    check_hardware(
        cores=1,
        memory_mb=1,
        gpu_model=model,
        gpu_memory_mb=memory_mb,
        accelerators=number,
        residency=None,
        latency_ms=0,
    )


def driver(folder: Path, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_a_machine_is_probed_with_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, 'echo "NVIDIA L4, 23034"')
    monkeypatch.setenv("PATH", str(tmp_path))
    found = hardware.probe()
    assert (found.gpu_model, found.gpu_memory_mb, found.accelerators) == ("l4", 23_034, 1)
    assert found.cores >= 1
    assert found.memory_mb > 100


@pytest.mark.parametrize("script", ["exit 9", "printf '\\377'", "kill -9 $$"])
def test_a_driver_that_fails_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    driver(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.probe().accelerators == 0


def test_a_driver_that_hangs_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, "while :; do :; done")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(hardware, "PROBE_TIMEOUT_S", 0.1)
    assert hardware.probe().accelerators == 0


def test_without_a_driver_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.probe().gpu_model is None
