"""What can be had without a deployment: help, version, usage errors, and how quickly."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from serverless_lab import __version__
from serverless_lab.cli.main import app
from serverless_lab.cli.options import quantity
from serverless_lab.cli.reference import commands, reference
from tests.cli.conftest import Lab

HEAVY = (
    "pandas",
    "numpy",
    "boto3",
    "botocore",
    "locust",
    "gevent",
    "pyarrow",
    "samtranslator",
    "yaml",
    "rich",
    "pydantic",
)
COMMANDS = dict(commands(typer.main.get_command(app), "lab"))
PAGE = Path(__file__).parents[2] / "docs" / "commands.md"

pytestmark = pytest.mark.process


def test_help_loads_no_heavy_library(lab: Lab) -> None:
    """Each would add 100 to 300 ms to every command, and Locust patches sockets of the whole process."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "serverless_lab.cli.main", "--help"],
        cwd=lab.directory,
        env=lab.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert loaded.isdisjoint(HEAVY), loaded.intersection(HEAVY)


def test_help_answers_at_once(lab: Lab) -> None:
    """What it computes is less than anybody notices; the benchmark prints how long that takes on an idle machine."""
    fresh = Lab(lab.directory, forked=False)

    def cpu_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        fresh("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu_seconds() for _ in range(3)) < 0.6


def test_help_names_every_command_in_a_whole_sentence(lab: Lab) -> None:
    shown = lab("--help").out
    for name in COMMANDS:
        assert f"\n  {name.split()[1]} " in shown
    assert "..." not in shown.partition("\nCommands:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_explains_its_options(name: str) -> None:
    command: Any = COMMANDS[name]
    example = [line.strip() for line in command.help.splitlines() if line.strip().startswith("Example: ")]
    assert len(example) == 1
    assert example[0].startswith(f"Example: {name}")
    assert all(option.help for option in command.params)
    assert "--json" in [word for option in command.params for word in option.opts]


def test_the_reference_page_is_what_help_says() -> None:
    """Write it anew with `python -m serverless_lab.cli.reference > docs/commands.md`."""
    assert PAGE.read_text() == reference()


def test_the_version_is_the_packages(lab: Lab) -> None:
    assert lab("--version").out == f"lab {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["load"],
        ["load", "--scenario", "smooth", "--locustfile", "x.py"],
        ["load", "--scenario", "smooth", "--master"],
        ["load", "--scenario", "smooth", "--workers", "2"],
        ["load", "--scenario", "smooth", "--master", "--workers", "2", "--processes", "2"],
        ["load", "--scenario", "smooth", "--worker"],
        ["load", "--bogus"],
        ["load", "--scenario"],
        ["up", "--port", "99999"],
        ["up", "--port", "http"],
        ["invoke"],
        ["run"],
        ["coldstarts", "report", "--csv", "--json"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_cannot_be_meant_exits_with_2_and_names_the_help(lab: Lab, words: list[str]) -> None:
    answer = lab.refused(*words, code=2)
    assert "--help`" in answer.hint
    assert list(lab.directory.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "error", "command"),
    [
        (["load", "--scenario"], "option '--scenario' requires an argument.", "lab load"),
        (["coldstarts", "report", "--bin"], "option '--bin' requires an argument.", "lab coldstarts report"),
        (["up", "--port", "http"], "invalid value for '--port': `http` is not a whole number", "lab up"),
        (["up", "--port", "99999"], "invalid value for '--port': `99999` must be at most 65535", "lab up"),
        (["up", "--clock", "sun"], "invalid value for '--clock': 'sun' is not one of 'virtual', 'wall'.", "lab up"),
        (["load", "--users", "0"], "invalid value for '--users': `0` must be at least 1", "lab load"),
        (["load", "--max-cost", "little"], "invalid value for '--max-cost': `little` is not a number", "lab load"),
        (
            ["cost", "--requests-per-month", "1X"],
            "invalid value for '--requests-per-month': `1X` is no number of requests: 10000000 or 10M",
            "lab cost",
        ),
    ],
)
def test_what_cannot_be_meant_is_named_with_the_help_of_its_own_command(
    lab: Lab, words: list[str], error: str, command: str
) -> None:
    answer = lab.refused(*words, code=2)
    assert (answer.error, answer.hint) == (f"error: {error}", f"hint: see `{command} --help`")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("10000000", 10e6),
        ("10,000,000", 10e6),
        ("10_000_000", 10e6),
        ("1e7", 10e6),
        ("10M", 10e6),
        ("2.5k", 2_500),
        ("1 M", 1e6),
        ("0", 0),
    ],
)
def test_a_number_of_requests_can_be_written_as_people_write_it(text: str, number: float) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize("text", ["", "M", "-1", "1MM", "ten", "1e", "inf", "nan", ",1"])
def test_what_is_no_number_of_requests_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        quantity(text)


@pytest.mark.parametrize("words", [[], ["coldstarts"]], ids=["lab", "lab coldstarts"])
def test_a_group_without_a_command_shows_its_help(lab: Lab, words: list[str]) -> None:
    answer = lab(*words, ok=False)
    assert answer.code == 2
    assert "Commands:" in answer.out + answer.err
