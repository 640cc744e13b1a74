"""What counts as speed 1: measured once on a quiet machine, and for the time being on a busy one."""

from __future__ import annotations

from pathlib import Path

import pytest

from serverless_lab import pressure
from serverless_lab.emulator import reference as measuring
from serverless_lab.emulator.runtime_directory import reference
from serverless_lab.emulator.speed import Reference, Sample

BUSY = "some avg10=60.00 avg60=20.00 avg300=9.00 total=868659133\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
QUIET = BUSY.replace("60.00", "1.00")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Reference]:
    """Every measurement in turn, each quicker than the one before."""
    taken: list[Reference] = []

    def measure(interpreter: Path, sys_path: list[str], starts: int) -> Reference:
        taken.append(Reference(100 - len(taken), Sample(1, 2, 3)))
        return taken[-1]

    monkeypatch.setattr(measuring, "measure_reference", measure)
    return taken


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pressure, "RECORD", tmp_path / "pressure")
    return tmp_path / "pressure"


def test_a_quiet_machine_is_measured_once(tmp_path: Path, record: Path, measured: list[Reference]):
    record.write_text(QUIET)
    first = reference(tmp_path / "python", Path("python3"))
    record.write_text(BUSY)
    assert reference(tmp_path / "python", Path("python3")) == first
    assert len(measured) == 1


def test_what_a_busy_machine_told_serves_until_it_is_quiet(tmp_path: Path, record: Path, measured: list[Reference]):
    """A neighbour that shares the core makes every start slower, and nothing in the start itself tells."""
    record.write_text(BUSY)
    assert reference(tmp_path / "python", Path("python3")).boot == 100
    assert reference(tmp_path / "python", Path("python3")).boot == 100
    record.write_text(QUIET)
    assert reference(tmp_path / "python", Path("python3")).boot == 99
    assert reference(tmp_path / "python", Path("python3")).boot == 99


def test_a_kernel_that_tells_nothing_is_taken_to_be_quiet(tmp_path: Path, record: Path, measured: list[Reference]):
    assert reference(tmp_path / "python", Path("python3")) == reference(tmp_path / "python", Path("python3"))
    assert len(measured) == 1


def test_a_damaged_file_is_measured_again(tmp_path: Path, record: Path, measured: list[Reference]):
    reference(tmp_path / "python", Path("python3"))
    (kept,) = tmp_path.glob("python.*.speed.json")
    kept.write_text('{"boot": 12')
    assert reference(tmp_path / "python", Path("python3")).boot == 99
