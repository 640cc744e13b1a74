"""Working through a plan, and reading what its folder has by then.

`run_plan` makes the runs that are missing; `assemble` makes the report of those that are there. Between the two nothing
is kept in memory, so a comparison that was interrupted is one whose report has fewer runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from serverless_lab.compare.execution import Bench, OnProgress
from serverless_lab.compare.figures import RunFigures, read_figures
from serverless_lab.compare.folder import ComparisonFolder, Facts, RunRecord, read_record
from serverless_lab.compare.money import Month
from serverless_lab.compare.plan import Plan, PlannedRun, Setting
from serverless_lab.compare.report import (
    ComparisonReport,
    Measured,
    VariantResult,
    lifetime_result,
    variant_result,
)

MonthOf = Callable[[Path, RunRecord, Setting], Month | None]
"""A run's folder, its record and what it is of -> its month; None where it cannot be priced."""


@dataclass(frozen=True)
class RunEnded:
    """A run that has been made: the `number`-th of `planned`, with what it showed and how long the rest may take."""

    run: PlannedRun
    number: int
    planned: int
    figures: RunFigures
    seconds: float
    remaining_seconds: float


class Teller(Protocol):
    """What wants to know how far it is."""

    def begins(self, run: PlannedRun, number: int, planned: int, remaining_seconds: float | None) -> OnProgress: ...

    def step(self, sentence: str) -> None: ...

    def ended(self, found: RunEnded) -> None: ...


def missing_runs(plan: Plan, folder: ComparisonFolder) -> list[PlannedRun]:
    """The runs of the plan that the folder does not have, in their order."""
    return [run for run in plan.runs if folder.find(run) is None]


def run_plan(plan: Plan, folder: ComparisonFolder, bench: Bench, teller: Teller) -> None:
    """Make the missing runs, one after the other. The bench is closed in any case.

    Raises:
        Interrupted: the user stopped it; complete runs are kept.
        LabError: a run failed; complete runs are kept.
    """
    todo = missing_runs(plan, folder)
    done = len(plan.runs) - len(todo)
    seconds = Durations({run.key: read_record(place).real_seconds for run in plan.runs if (place := folder.find(run))})
    try:
        for at, run in enumerate(todo):
            remaining = seconds.of(todo[at:])
            on_progress = teller.begins(run, done + at + 1, len(plan.runs), remaining)
            began = time.monotonic()
            with folder.new_run(run) as place:
                bench.measure(run, place, teller.step, on_progress)
            took = time.monotonic() - began
            seconds.add(run, took)
            place = folder.runs / run.folder_name
            figures = read_figures(place, read_record(place))
            rest = seconds.of(todo[at + 1 :]) or 0.0
            teller.ended(RunEnded(run, done + at + 1, len(plan.runs), figures, took, rest))
    finally:
        bench.close()


class Durations:
    """How long runs take, from those that are known: of the same setting if there is one, else of all."""

    def __init__(self, by_key: Mapping[str, float]) -> None:
        self._by_digest: dict[str, list[float]] = {}
        for key, seconds in by_key.items():
            self._by_digest.setdefault(key.partition("-")[0], []).append(seconds)

    def add(self, run: PlannedRun, seconds: float) -> None:
        self._by_digest.setdefault(run.setting.digest, []).append(seconds)

    def of(self, runs: list[PlannedRun]) -> float | None:
        """What `runs` will take together; None when nothing is known yet."""
        every = [value for values in self._by_digest.values() for value in values]
        if not every:
            return None if runs else 0.0
        typical = sum(every) / len(every)
        of = [self._by_digest.get(run.setting.digest) for run in runs]
        return sum(typical if known is None else sum(known) / len(known) for known in of)


def assemble(
    plan: Plan,
    folder: ComparisonFolder,
    *,
    source: str,
    target: str,
    month_of: MonthOf = lambda place, record, setting: None,
    traffic: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> ComparisonReport:
    """The report of the plan's runs that are there."""
    found = {name: _measured(plan, folder, name, month_of) for name in plan.settings}
    baseline = found[plan.baseline]
    order = [plan.baseline, *(name for name in plan.settings if name != plan.baseline)]
    results: list[VariantResult] = [
        variant_result(found[name], None if name == plan.baseline else baseline) for name in order
    ]
    lifetimes = tuple(
        lifetime_result(lifetime, _figures(plan.of_lifetime(lifetime), folder)[0], baseline)
        for lifetime in plan.lifetimes or ()
    )
    runs = [figures for measured in found.values() for figures in measured.runs.values()]
    scenario = plan.settings[plan.baseline].scenario
    return ComparisonReport(
        scenario=scenario.name,
        description=scenario.description,
        source=source,
        target=target,
        clock=runs[0].clock if runs else "",
        baseline=plan.baseline,
        seeds=plan.seeds,
        variants=tuple(results),
        sensitive=plan.sensitive,
        lifetimes=lifetimes,
        missing=tuple((run.setting.name, run.seed) for run in missing_runs(plan, folder)),
        traffic=traffic if any(result.months for result in results) else None,
        machine=machine or {},
        real_seconds=sum(read_record(place).real_seconds for run in plan.runs if (place := folder.find(run))),
        notes=(*notes, *_notes(plan, runs)),
    )


def _measured(plan: Plan, folder: ComparisonFolder, name: str, month_of: MonthOf) -> Measured:
    setting = plan.settings[name]
    figures, records = _figures(plan.of_variant(name), folder)
    months = {}
    for seed, (place, record) in records.items():
        month = month_of(place, record, setting)
        if month is not None:
            months[seed] = month
    facts = next((record.facts for _, record in records.values()), Facts())
    return Measured(setting.variant, setting.parameters, figures, facts, months)


def _figures(
    runs: list[PlannedRun], folder: ComparisonFolder
) -> tuple[dict[int, RunFigures], dict[int, tuple[Path, RunRecord]]]:
    figures, records = {}, {}
    for run in runs:
        place = folder.find(run)
        if place is not None:
            record = read_record(place)
            figures[run.seed] = read_figures(place, record)
            records[run.seed] = (place, record)
    return figures, records


def _notes(plan: Plan, runs: list[RunFigures]) -> list[str]:
    notes = []
    if len(plan.seeds) < 3:
        notes.append(
            "Fewer than three repeats say nothing of how seeds differ: intervals are of the requests of these runs "
            "alone, and environments and cost have none."
        )
    if runs and any(run.waited is None for run in runs):
        notes.append("Requests are not joined with REPORT lines here: cold starts are those of all invocations.")
    if runs and any(run.clock == "wall" for run in runs):
        notes.append("These runs are in real time: the host's load is in every figure.")
    problems = sorted({problem for run in runs for problem in run.problems})
    return [*notes, *(f"In a run: {problem}" for problem in problems)]
