"""`lab coldstarts` on log files: nothing is deployed, nothing is written that was not asked for."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.cli.conftest import Lab
from tests.coldstarts.runs import MAIL, ORDERS, story
from tests.coldstarts.schema import problems
from tests.coldstarts.story_files import write_logs

pytestmark = pytest.mark.process


@pytest.fixture
def logs(lab: Lab) -> Path:
    return write_logs(lab.directory / "logs", story())


def test_a_folder_of_logs_is_reported_without_any_deployment(lab: Lab, logs: Path) -> None:
    found = lab("coldstarts", "report", "logs", "--json").json
    assert problems(found) == []
    assert found["source"] == "files"
    assert found["total"]["invocations"] == 8
    assert [function["function"] for function in found["functions"]] == [MAIL, ORDERS]
    assert not lab.state("").exists()


def test_standard_input_is_a_file_called_minus(lab: Lab, logs: Path) -> None:
    text = (logs / f"{ORDERS}.log").read_text()
    found = lab("coldstarts", "report", "-", "--json", stdin=text).json
    assert found["files"]["paths"] == ["-"]
    assert found["total"]["invocations"] == 6


def test_a_file_that_does_not_name_its_function_is_given_a_name(lab: Lab) -> None:
    line = "REPORT RequestId: 3fd21ffd-4a8b-4d08-9435-89717282b90a\tDuration: 3.01 ms\tBilled Duration: 4 ms\t\n"
    found = lab("coldstarts", "report", "-", "--function", "orders", "--json", stdin=line).json
    assert [function["function"] for function in found["functions"]] == ["orders"]
    table = lab("coldstarts", "report", "-", stdin=line).out
    assert "(no name in the log)" in table


def test_groups_and_times_are_chosen_on_the_command_line(lab: Lab, logs: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(lab("coldstarts", "report", "logs", "--by", "memory", "--csv").out)))
    assert [(row["memory_size_mb"], row["invocations"]) for row in rows] == [("256", "8")]
    cut = lab("coldstarts", "report", "logs", "--since", "2025-11-24T16:00:20", "--until", "1764000100000", "--json")
    assert cut.json["total"]["invocations"] == 2
    assert cut.json["files"]["since_ms"] == 1_764_000_020_000


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["logs", "--run", "x"], "not for files"),
        (["logs", "--refresh"], "not for files"),
        (["--since", "1h"], "are for files"),
        (["--function", "orders"], "are for files"),
        (["logs", "--csv", "--json"], "one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_of_runs_and_of_files_do_not_mix(lab: Lab, logs: Path, words: list[str], error: str) -> None:
    assert error in lab.refused("coldstarts", "report", *words, code=2).error


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["nowhere"], "nowhere", ""),
        (["logs", "--format", "runes"], "`runes`", "text"),
        (["logs", "--since", "monday"], "--since `monday`", "2h"),
        (["logs", "--by", "colour"], "--by `colour`", "function, version, memory, initialization-type, bin"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_read_is_refused_with_a_way_out(
    lab: Lab, logs: Path, words: list[str], error: str, hint: str
) -> None:
    answer = lab.refused("coldstarts", "report", *words)
    assert error in answer.error
    assert hint in answer.hint
