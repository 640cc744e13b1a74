"""Whether a run in real time was held up by its own host."""

from pathlib import Path

import pytest

from serverless_lab import pressure
from serverless_lab.load import strain
from serverless_lab.load.strain import FUNCTIONS, HOST, Strain, note_of, watch


def statuses(*found: dict[str, object]):
    """A status that says one after the other."""
    left = iter(found)
    return lambda: next(left)


def of(executed_ms: float, waited_ms: float) -> dict[str, object]:
    return {"strain": {"executed_ms": executed_ms, "waited_ms": waited_ms}}


def test_an_emulator_tells_how_long_its_functions_waited_during_the_run():
    """What was before the run is not part of it."""
    end = watch(statuses(of(1_000, 900), of(3_000, 1_400)), same_host=True)
    assert end() == Strain(FUNCTIONS, 0.25)


def test_an_emulator_that_ran_nothing_tells_nothing():
    assert watch(statuses(of(10, 5), of(10, 5)), same_host=True)() is None


def test_of_other_targets_on_this_host_the_kernels_record_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    record = tmp_path / "cpu"
    monkeypatch.setattr(pressure, "RECORD", record)
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(strain.time, "monotonic", lambda: next(clock))
    record.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\nfull avg10=0.00 total=0\n")
    end = watch(dict, same_host=True)
    record.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=9000000\nfull avg10=0.00 total=0\n")
    assert end() == Strain(HOST, 0.8)


def test_of_another_machine_nothing_tells():
    assert watch(dict, same_host=False)() is None


def test_a_kernel_without_a_record_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pressure, "RECORD", tmp_path / "none")
    assert watch(dict, same_host=True)() is None


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"clock": "wall", "strain": {"of": "functions", "share": 0.34}}, ["34 %", "`lab up --clock virtual`"]),
        ({"clock": "wall", "strain": {"of": "host", "share": 0.8}}, ["80 %", "`lab deploy --target local`"]),
    ],
)
def test_a_saturated_host_is_said_with_its_share_and_the_way_out(manifest: dict[str, object], words: list[str]):
    note = note_of(manifest)
    assert note is not None and all(word in note for word in words)


@pytest.mark.parametrize(
    "manifest",
    [
        {"clock": "wall", "strain": {"of": "functions", "share": 0.01}},
        {"clock": "wall", "strain": {"of": "host", "share": 0.2}},
        {"clock": "virtual", "strain": {"of": "functions", "share": 0.9}},
        {"clock": "wall", "strain": None},
        {},
    ],
)
def test_a_host_with_room_or_a_run_in_virtual_time_needs_no_warning(manifest: dict[str, object]):
    assert note_of(manifest) is None
