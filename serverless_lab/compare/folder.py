"""Where a comparison is kept: `.lab/comparisons/<scenario>/`.

comparison.json     what was asked for last
runs/<run>/         complete runs: the files of any run, and run.json
draft/              the run that is being made; moved to runs/ in one step when it is complete
bench/              the embedded emulator that serves the runs, apart from the one of the working directory
comparison.html     the last report, as a page
lock                held by the `lab compare` that works here
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from serverless_lab.compare.plan import PlannedRun
from serverless_lab.errors import BadInput, ReportError
from serverless_lab.project import Project, read_json, write_json

SCHEMA = 1
RUN_FILE = "run.json"
PAGE_FILE = "comparison.html"


@dataclass(frozen=True)
class Facts:
    """What a deployment stands there with, whether requests come or not, as its target has it.

    `functions`: name -> {"memory_mb", "architecture"}; `provisioned`: function -> environments kept initialised;
    `schedules`: [{"name", "expression", "functions": [...]}].
    """

    functions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    provisioned: Mapping[str, int] = field(default_factory=dict)
    schedules: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """run.json: what a run is of, and what it took here."""

    variant: str
    digest: str
    parts: Mapping[str, str]
    seed: int
    parameters: Mapping[str, str]
    idle_lifetime_ms: float
    facts: Facts
    deploy_seconds: float
    real_seconds: float
    schema: int = SCHEMA

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunRecord:
        facts = Facts(**{**data["facts"], "schedules": tuple(data["facts"]["schedules"])})
        return cls(**{**data, "facts": facts})


class ComparisonFolder:
    """The folder of the comparisons of one scenario."""

    def __init__(self, project: Project, scenario: str) -> None:
        self.path = project.state / "comparisons" / scenario
        self.runs = self.path / "runs"
        self.draft = self.path / "draft"
        self.page = self.path / PAGE_FILE

    def bench(self) -> Project:
        """The working directory of the comparison's own emulator."""
        place = self.path / "bench"
        place.mkdir(parents=True, exist_ok=True)
        return Project(place)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Nobody else works in this folder meanwhile.

        Raises:
            BadInput: somebody does.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BadInput(
                    f"another `lab compare` is at work in {self.path}", hint="wait for it, or stop it with Ctrl-C"
                ) from error
            shutil.rmtree(self.draft, ignore_errors=True)
            yield

    def find(self, run: PlannedRun) -> Path | None:
        """The complete run of the same digest and seed, whatever its variant was called then."""
        found = sorted(self.runs.glob(f"*-{run.key}"))
        return found[0] if found else None

    @contextlib.contextmanager
    def new_run(self, run: PlannedRun) -> Iterator[Path]:
        """An empty folder for `run`. It becomes one of the runs when the block ends and wrote its record."""
        shutil.rmtree(self.draft, ignore_errors=True)
        place = self.draft / run.folder_name
        place.mkdir(parents=True)
        try:
            yield place
            if not (place / RUN_FILE).is_file():
                raise RuntimeError(f"{place} has no {RUN_FILE}")
            self.runs.mkdir(exist_ok=True)
            place.replace(self.runs / run.folder_name)
        finally:
            shutil.rmtree(self.draft, ignore_errors=True)

    def others(self, wanted: set[str]) -> dict[str, dict[str, str]]:
        """Complete runs whose keys are not in `wanted`: folder name -> the parts of what they are of."""
        found = {}
        for place in sorted(self.runs.glob("*")):
            if "-".join(place.name.rsplit("-", 2)[1:]) not in wanted:
                with contextlib.suppress(ReportError):
                    found[place.name] = dict(read_record(place).parts)
        return found

    def remember(self, asked: Mapping[str, Any]) -> None:
        write_json(self.path / "comparison.json", {"schema": SCHEMA, **asked})

    def asked(self) -> dict[str, Any] | None:
        return read_json(self.path / "comparison.json")


def write_record(place: Path, record: RunRecord) -> None:
    write_json(place / RUN_FILE, asdict(record))


def read_record(place: Path) -> RunRecord:
    """
    Raises:
        ReportError: there is none, or it is of another version of lab.
    """
    data = read_json(place / RUN_FILE)
    if data is None or data.get("schema") != SCHEMA:
        raise ReportError(f"{place} is no run of this version of lab", hint=f"remove it: rm -r {place}")
    try:
        return RunRecord.from_json(data)
    except (KeyError, TypeError) as error:
        raise ReportError(f"{place / RUN_FILE} is incomplete: {error}", hint=f"remove it: rm -r {place}") from error
