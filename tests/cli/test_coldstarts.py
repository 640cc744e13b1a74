"""`lab coldstarts` on log files: nothing is deployed, nothing is written that was not asked for."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import yaml

from serverless_lab.coldstarts.files import FORMATS
from serverless_lab.coldstarts.quantities import QUANTITIES
from tests.cli.conftest import HELLO, QUICK_SCENARIO, Lab
from tests.cli.test_help import COMMANDS
from tests.coldstarts.runs import MAIL, ORDERS, story
from tests.coldstarts.schema import SCHEMA, problems
from tests.coldstarts.story import T0, Environment
from tests.coldstarts.story_files import write_logs
from tests.reporting.pages import embedded

pytestmark = pytest.mark.process

GATES_PAGE = Path(__file__).parents[2] / "docs" / "gates.md"


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


def test_files_none_of_which_is_a_log_are_refused_and_beside_a_log_told(lab: Lab, logs: Path) -> None:
    (lab.directory / "empty.log").write_bytes(b"")
    (lab.directory / "photo.log").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    answer = lab.refused("coldstarts", "report", "empty.log", "photo.log")
    assert answer.error == "error: empty.log: the file is empty, and 1 more like it"
    assert "docs/coldstarts.md" in answer.hint
    (lab.directory / "notes.txt").write_text("buy milk\n")
    assert "notes.txt: no log" in lab.refused("coldstarts", "report", "notes.txt").error
    assert lab("coldstarts", "report", "empty.log", "logs", "--json").json["total"]["invocations"] > 0


# --- pages -----------------------------------------------------------------------------------------------------------


def test_log_files_become_a_page_beside_the_table(lab: Lab, logs: Path) -> None:
    answer = lab("coldstarts", "report", "logs", "--html", "page.html", "--fail-if", "cold_rate > 50%", "--json")
    assert answer.err == "HTML report: page.html\n"
    assert embedded((lab.directory / "page.html").read_text(encoding="utf-8")) == answer.json
    assert [path.name for path in lab.directory.iterdir() if path.name.startswith(".")] == []


def test_a_page_that_has_no_place_is_refused_before_anything_is_read(lab: Lab, logs: Path) -> None:
    answer = lab.refused("coldstarts", "report", "nowhere", "--html", "out/page.html")
    assert "no folder out" in answer.error and "mkdir -p out" in answer.hint
    assert "logs is a folder" in lab.refused("coldstarts", "report", "logs", "--html", "logs").error
    assert not (lab.directory / "out").exists()


def test_a_page_is_written_though_a_gate_fails(lab: Lab, logs: Path) -> None:
    """Who is told that a build failed wants to see why."""
    answer = lab("coldstarts", "report", "logs", "--html", "page.html", "--fail-if", "cold_rate > 5%", ok=False)
    assert answer.code == 3
    assert "FAILED" in (lab.directory / "page.html").read_text(encoding="utf-8")


def test_a_runs_page_is_in_its_folder_and_where_it_was_asked_for(deployed: Lab, tmp_path: Path) -> None:
    answer = deployed("coldstarts", "report", "--html", str(tmp_path / "page.html"), "--json")
    [in_folder] = deployed.state("runs").glob(f"{answer.json['run_id']}/report.html")
    assert in_folder.read_text(encoding="utf-8") == (tmp_path / "page.html").read_text(encoding="utf-8")
    page = embedded(in_folder.read_text(encoding="utf-8"))
    assert page["client"]["requests"] == answer.json["client"]["requests"] == 40
    assert page["total"] == answer.json["total"]
    again = deployed("coldstarts", "report")
    assert again.err.splitlines()[-1] == f"HTML report: {in_folder}"
    refused = deployed.refused("coldstarts", "report", str(in_folder.parent))
    assert refused.error == f"error: {in_folder.parent} is the folder of a run, not a log"
    assert refused.hint == f"hint: its report: --run {answer.json['run_id']}"


# --- gates -----------------------------------------------------------------------------------------------------------


def test_a_gate_that_fails_prints_the_report_and_exits_with_3(lab: Lab, logs: Path) -> None:
    answer = lab("coldstarts", "report", "logs", "--fail-if", "cold_rate > 5%", ok=False)
    assert answer.code == 3
    assert "FAILED  cold_rate is 37.5 % (3 of 8)" in answer.out
    assert answer.err == "failed: cold_rate is 37.5 % (3 of 8); fails if > 5.0 %\n"


def test_gates_that_pass_exit_with_0(lab: Lab, logs: Path) -> None:
    gates = ["--fail-if", "cold_rate > 50%", "--fail-if", f"{MAIL}: timeouts > 0"]
    answer = lab("coldstarts", "report", "logs", *gates, "--json")
    assert [gate["outcome"] for gate in answer.json["gates"]] == ["passed", "passed"]
    assert problems(answer.json) == []
    assert answer.err == ""


@pytest.mark.parametrize(
    ("gates", "error"),
    [
        (["latency_p99 > 1s"], "there is no client's side"),
        (["cold_rate > 5%", "latency_p99 > 1s"], "latency_p99 cannot be told"),
        (["basket: cold_rate > 5%"], "no function `basket`"),
    ],
    ids=str,
)
def test_a_gate_on_what_is_not_told_is_an_error_even_beside_one_that_fails(
    lab: Lab, logs: Path, gates: list[str], error: str
) -> None:
    words = [word for gate in gates for word in ("--fail-if", gate)]
    assert error in lab.refused("coldstarts", "report", "logs", *words).error


def test_what_cannot_be_told_is_an_error_for_those_who_read_files_too(lab: Lab, logs: Path) -> None:
    summary = lab.directory / "summary.md"
    words = ["--fail-if", "latency_p99 > 1s", "--junit", "found.xml", "--github-summary"]
    lab.refused("coldstarts", "report", "logs", *words, GITHUB_STEP_SUMMARY=str(summary))
    assert ElementTree.parse(lab.directory / "found.xml").getroot().get("errors") == "1"
    assert "UNTOLD" in summary.read_text()


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("coldrate > 5%", "did you mean `cold_rate`?"),
        ("cold_rate", "quantities:"),
        ("cold_rate > 5", "write it as 5%"),
        ("init_p90 > 800", "write it as 800ms"),
    ],
)
def test_a_gate_that_cannot_be_meant_is_a_usage_error_that_says_what_could_be(
    lab: Lab, logs: Path, gate: str, said: str
) -> None:
    answer = lab.refused("coldstarts", "report", "logs", "--fail-if", gate, code=2)
    assert gate.split()[0] in answer.error
    assert said in answer.err


def test_a_gate_that_fails_is_said_beside_one_that_cannot_be_told(lab: Lab, logs: Path) -> None:
    words = ["--fail-if", "latency_p99 > 1s", "--fail-if", "invocations > 0"]
    answer = lab.refused("coldstarts", "report", "logs", *words)
    assert "failed: invocations is" in answer.err
    assert "latency_p99 cannot be told" in answer.err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--junit", "x.xml"], "name --fail-if or --baseline"),
        (["--fail-on-regression"], "go with --baseline"),
        (["--tolerance", "5%"], "go with --baseline"),
        (["--markdown", "--csv"], "one of"),
        (["--markdown", "--json"], "one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_say_nothing_together_are_usage_errors(lab: Lab, logs: Path, words: list[str], error: str) -> None:
    assert error in lab.refused("coldstarts", "report", "logs", *words, code=2).error
    assert not (lab.directory / "x.xml").exists()


# --- baselines -------------------------------------------------------------------------------------------------------


def traffic(init_ms: float) -> list[Environment]:
    return [
        Environment("orders", T0 + 1_000 * n).cold(2 * n, init_ms + n % 7).wait(500).invoke(2 * n + 1)
        for n in range(40)
    ]


def test_a_saved_report_is_a_baseline_and_a_regression_exits_with_3(lab: Lab) -> None:
    write_logs(lab.directory / "before", traffic(200.0))
    write_logs(lab.directory / "now", traffic(300.0))
    (lab.directory / "baseline.json").write_text(lab("coldstarts", "report", "before", "--json").out)
    words = ["--baseline", "baseline.json", "--fail-on-regression"]
    same = lab("coldstarts", "report", "before", *words)
    assert "no difference shown" in same.out

    worse = lab("coldstarts", "report", "now", *words, "--junit", "found.xml", ok=False)
    assert worse.code == 3
    assert worse.err.startswith("failed: orders is worse: init p50 203 ms -> 303 ms, longer in 100% of pairs")
    assert ElementTree.parse(lab.directory / "found.xml").getroot().get("failures") == "1"
    told = lab("coldstarts", "report", "now", "--baseline", "baseline.json", "--json").json
    assert (told["failures"], told["baseline"]["functions"][0]["verdict"]) == ([], "regression")
    assert problems(told) == []
    lab("coldstarts", "report", "now", *words, "--tolerance", "60%")


def test_a_baseline_that_is_not_there_or_no_report_is_refused(lab: Lab, logs: Path) -> None:
    missing = lab.refused("coldstarts", "report", "logs", "--baseline", "yesterday")
    assert "no file `yesterday`, and no run `yesterday`" in missing.error
    (lab.directory / "empty.json").write_text("{}")
    assert "--json" in lab.refused("coldstarts", "report", "logs", "--baseline", "empty.json").hint
    assert "10%" in lab.refused("coldstarts", "report", "logs", "--baseline", "x", "--tolerance", "much").hint


def test_nothing_to_compare_is_no_pass(lab: Lab, logs: Path) -> None:
    write_logs(lab.directory / "other", traffic(200.0))
    (lab.directory / "baseline.json").write_text(lab("coldstarts", "report", "other", "--json").out)
    answer = lab.refused("coldstarts", "report", "logs", "--baseline", "baseline.json", "--fail-on-regression")
    assert "no function is in both" in answer.error


# --- outputs ---------------------------------------------------------------------------------------------------------


def test_files_are_written_beside_what_is_printed(lab: Lab, logs: Path) -> None:
    summary = lab.directory / "summary.md"
    summary.write_text("# earlier step\n")
    words = ["--parquet", "rows.parquet", "--junit", "out/found.xml", "--fail-if", "timeouts > 1", "--github-summary"]
    printed = lab("coldstarts", "report", "logs", *words, "--markdown", GITHUB_STEP_SUMMARY=str(summary)).out
    rows = pd.read_parquet(lab.directory / "rows.parquet")
    assert len(rows) == 8
    assert set(rows["kind"]) == {"cold", "warm", "proactive", "init-repeated"}
    assert ElementTree.parse(lab.directory / "out" / "found.xml").getroot().get("tests") == "1"
    assert summary.read_text() == "# earlier step\n" + printed


def test_the_step_summary_is_written_only_when_asked_for(lab: Lab, logs: Path) -> None:
    summary = lab.directory / "summary.md"
    lab("coldstarts", "report", "logs", GITHUB_STEP_SUMMARY=str(summary))
    assert not summary.exists()
    assert "GITHUB_STEP_SUMMARY" in lab.refused("coldstarts", "report", "logs", "--github-summary").error


def test_a_file_that_cannot_be_written_is_named(lab: Lab, logs: Path) -> None:
    for option in ("--parquet", "--junit"):
        answer = lab.refused("coldstarts", "report", "logs", option, "logs", "--fail-if", "timeouts > 1")
        assert "logs cannot be written" in answer.error
    assert logs.is_dir()


def test_the_schema_is_printed_as_it_is_published(lab: Lab) -> None:
    assert json.loads(lab("coldstarts", "schema").out) == SCHEMA
    assert lab("coldstarts", "schema", "--json").json == SCHEMA


# --- the documentation -----------------------------------------------------------------------------------------------


def test_the_help_names_every_format() -> None:
    told = next(option.help for option in COMMANDS["lab coldstarts report"].params if "--format" in option.opts)
    assert all(name in told for name in FORMATS)


def test_every_quantity_is_in_the_documentation() -> None:
    page = GATES_PAGE.read_text()
    names = set(re.findall(r"`([a-z_0-9]+)`", page))
    for name in QUANTITIES:
        base = re.sub(r"_(p50|p90|p99|max)$", "", name)
        assert name in names or {f"{base}_p50", f"{base}_max"} <= names, name


def test_the_workflow_in_the_documentation_works(lab: Lab) -> None:
    """Its commands, run by the shell as GitHub Actions runs them, and once more when a gate must fail."""
    block = re.search(r"```yaml\n(.*?)```", GATES_PAGE.read_text(), re.DOTALL)
    assert block is not None
    steps = yaml.safe_load(block[1])["jobs"]["gates"]["steps"]
    load, gates = (next(step["run"] for step in steps if step.get("name") == name) for name in ("send a load", "gates"))
    (lab.directory / "template.yaml").write_text(
        HELLO.read_text().replace("CodeUri: hello/", f"CodeUri: {HELLO.parent}/hello/")
    )
    assert lab.scenario(QUICK_SCENARIO.replace("/somewhere", "/hello"), "ci.yaml") == "./ci.yaml"
    tools = lab.directory / "bin"
    tools.mkdir()
    (tools / "lab").write_text("#!/bin/sh\nexec " + " ".join(lab.command) + ' "$@"\n')
    (tools / "lab").chmod(0o755)
    environment = {
        **lab.environment(),
        "PATH": f"{tools}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(lab.directory / "summary.md"),
    }

    def shell(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=lab.directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    sent = shell(load)
    assert sent.returncode == 0, sent.stderr
    assert shell("lab coldstarts report --json > coldstarts-baseline.json").returncode == 0
    passed = shell(gates)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "### Gates" in (lab.directory / "summary.md").read_text()
    assert shell(gates.replace("cold_rate > 20%", "cold_rate > 0%")).returncode == 3
