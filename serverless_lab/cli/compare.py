"""`lab compare`: one scenario, several variants, what each does to users and to the bill."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serverless_lab.cli.confirm import Yes
from serverless_lab.cli.estimate import MaxCost
from serverless_lab.cli.load import Force, ProgressLine, Request, check_memory
from serverless_lab.cli.options import AsJson, Profile, Region, TargetName, TemplatePath, print_json, quantity, say
from serverless_lab.errors import BadInput
from serverless_lab.project import Project

if TYPE_CHECKING:
    from serverless_lab.compare.execution import Bench, OnProgress, StackPlan
    from serverless_lab.compare.folder import ComparisonFolder, RunRecord
    from serverless_lab.compare.money import Month
    from serverless_lab.compare.plan import Plan, PlannedRun, Setting
    from serverless_lab.compare.report import ComparisonReport
    from serverless_lab.compare.running import MonthOf, RunEnded
    from serverless_lab.compare.variants import VariantSet
    from serverless_lab.scenario import Scenario

MONDAYS_PER_MONTH = 52 / 12


def compare(
    scenario: Annotated[
        str | None, typer.Option("--scenario", help="A scenario's name, or the path of one's YAML file.")
    ] = None,
    variants: Annotated[
        Path | None,
        typer.Option(
            "--variants", help="YAML file of variants.  [default: ./scenarios/mitigations.yaml, the bundled one]"
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only this variant, beside the baseline; repeatable.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, max=1000, help="Seeds that each variant is sent.")] = 3,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The first seed; the others follow it.  [default: the scenario's own]")
    ] = None,
    request: Request = None,
    target_name: TargetName = None,
    template: TemplatePath = None,
    requests_per_month: Annotated[
        float,
        typer.Option(
            "--requests-per-month", parser=quantity, metavar="NUMBER", help="Your traffic, for the bill of a month."
        ),
    ] = 10_000_000,
    peaks_per_month: Annotated[
        float | None,
        typer.Option(
            "--peaks-per-month", min=0, help="How often a month has the scenario's peak.  [default: each week]"
        ),
    ] = None,
    prices: Annotated[Path | None, typer.Option("--prices", help="YAML or JSON file of your own prices.")] = None,
    max_cost: MaxCost = None,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity/--no-sensitivity", help="Measure other idle lifetimes too.")
    ] = True,
    report_only: Annotated[
        bool, typer.Option("--report", help="Report on the runs there are, also while others are made, and make none.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the report as Markdown.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write the page to this file as well.")] = None,
    region: Region = None,
    profile: Profile = None,
    yes: Yes = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Tell what each mitigation does to users and to the bill.

    Each variant is deployed afresh and sent the same scenario with the same seeds. What is complete is kept: the same
    command goes on after an interruption, measures anew what has changed, and reports at once when nothing is missing.

    Example: lab compare --scenario monday-spike --requests-per-month 10000000
    """
    from serverless_lab.cli.pages import check_page
    from serverless_lab.compare.folder import ComparisonFolder
    from serverless_lab.compare.running import assemble, missing_runs
    from serverless_lab.compare.variants import load_variants

    if scenario is None:
        raise typer.BadParameter("name a --scenario")
    if as_json and markdown:
        raise typer.BadParameter("choose one of --json and --markdown")
    if requests_per_month < 1:
        raise typer.BadParameter("--requests-per-month of a comparison is 1 or more")
    if html is not None:
        check_page(html)
    project = Project()
    loaded = _scenario(project, scenario, request)
    chosen = load_variants(variants, project.directory)
    if only:
        chosen = chosen.only(only)
    folder = ComparisonFolder(project, loaded.name)
    name = target_name or "local"
    stack = _stack(project, template, loaded.name, name)
    _check_parameters(chosen, stack)
    bench = _bench(project, folder, stack, name, region, profile, force)
    plan = _plan(chosen, loaded, stack, bench, repeat, seed, sensitivity)
    month_of, traffic = _money(region, requests_per_month, peaks_per_month, prices)
    with contextlib.nullcontext() if report_only else folder.lock():
        _say_what_is_there(plan, folder)
        todo = missing_runs(plan, folder)
        interrupted = False
        if todo and not report_only:
            _confirm(bench, stack, todo, region, prices, max_cost, yes)
            folder.remember({"scenario": loaded.name, "variants": chosen.source, "seeds": list(plan.seeds)})
            interrupted = _run(plan, folder, bench, quiet=as_json)
        report = assemble(
            plan,
            folder,
            source=chosen.source,
            target=bench.name,
            month_of=month_of,
            traffic=traffic,
            machine=_machine(),
        )
        if interrupted:
            left = len(report.missing)
            say(f"stopped: {len(plan.runs) - left} of {len(plan.runs)} runs are kept; the same command goes on")
            raise typer.Exit(130)
        if len(report.missing) == len(plan.runs):
            raise BadInput(f"{folder.path} has no run of this comparison", hint="leave --report away to make them")
        _write_pages(report, folder, html)
    _print(report, as_json, markdown)


# --- what is compared ------------------------------------------------------------------------------------------------


def _scenario(project: Project, name: str, request: str | None) -> Scenario:
    from serverless_lab.scenario import load_scenario, with_request

    loaded = load_scenario(name, project.directory)
    return loaded if request is None else with_request(loaded, request)


def _check_parameters(chosen: VariantSet, stack: StackPlan) -> None:
    """The bundled variants are of the bundled template."""
    from serverless_lab.deploy.template import read_template

    known = read_template(stack.template).parameters
    for variant in chosen.variants:
        for name in variant.parameters:
            if name not in known:
                where = f"variant `{variant.name}` of {chosen.source}"
                raise BadInput(
                    f"{stack.template} has no parameter `{name}`, which {where} sets",
                    hint="write variants of your own, --variants FILE: docs/comparing.md has an example",
                )


def _stack(project: Project, template: Path | None, scenario: str, target_name: str) -> StackPlan:
    from serverless_lab.cli.context import STACK_NAME_MAX
    from serverless_lab.cli.deploy import chosen_template
    from serverless_lab.compare.execution import StackPlan
    from serverless_lab.deploy.assembly import template_in
    from serverless_lab.deploy.parameters import host_parameters

    name = f"lab-compare-{scenario.replace('.', '-').replace('_', '-')}"[:STACK_NAME_MAX].rstrip("-")
    path = template_in(template, None) if template else chosen_template(project, project.deployment_or_none())
    return StackPlan(path, name, project.build, host_parameters(path, target_name))


def _bench(
    project: Project,
    folder: ComparisonFolder,
    stack: StackPlan,
    name: str,
    region: str | None,
    profile: str | None,
    force: bool,
) -> Bench:
    from serverless_lab.cli.context import open_target
    from serverless_lab.compare.execution import LocalBench, StackBench
    from serverless_lab.targets import resolve_target

    if name == "local":
        resolve_target("local", local_endpoint="http://127.0.0.1", region=region, profile=profile)
        return LocalBench(folder.bench(), stack, lambda place, sent, seed: check_memory(place, sent, seed, force))
    return StackBench(open_target(project, name, None, region=region, profile=profile), stack)


def _plan(
    chosen: VariantSet,
    loaded: Scenario,
    stack: StackPlan,
    bench: Bench,
    repeat: int,
    seed: int | None,
    sensitivity: bool,
) -> Plan:
    from serverless_lab.compare.execution import code_digests, lab_digest
    from serverless_lab.compare.plan import make_plan

    return make_plan(
        chosen,
        loaded,
        repeat=repeat,
        seed=loaded.seed if seed is None else seed,
        code_digest=code_digests(stack),
        target=bench.identity(),
        lab=lab_digest(),
        sensitivity=sensitivity and bench.can_set_idle_lifetime,
    )


def _say_what_is_there(plan: Plan, folder: ComparisonFolder) -> None:
    """Which runs are taken as they are, and why others that are there are not."""
    from serverless_lab.compare.running import missing_runs

    there = len(plan.runs) - len(missing_runs(plan, folder))
    if there:
        say(f"{there} of {len(plan.runs)} runs are there already")
    parts_now: dict[str, Mapping[str, str]] = {run.setting.name: run.setting.parts for run in plan.runs}
    changed: dict[str, int] = {}
    for name, parts in folder.others({run.key for run in plan.runs}).items():
        now = parts_now.get(name.rsplit("-", 2)[0], parts)
        for part, digest in parts.items():
            if now.get(part) != digest:
                changed[part] = changed.get(part, 0) + 1
    for part, count in changed.items():
        say(f"note: {count} runs in {folder.runs} are of another {part}; they are kept and not used")


def _money(
    region: str | None, requests_per_month: float, peaks_per_month: float | None, path: Path | None
) -> tuple[MonthOf, dict[str, Any]]:
    from serverless_lab.compare.money import Traffic, month_of_run
    from serverless_lab.cost.prices import load_prices

    traffic = Traffic(requests_per_month, MONDAYS_PER_MONTH if peaks_per_month is None else peaks_per_month)
    prices = load_prices(region or "us-east-1", path)

    def month(place: Path, record: RunRecord, setting: Setting) -> Month | None:
        hours = setting.variant.provisioned_hours_per_month
        return month_of_run(place, record.facts.schedules, traffic, prices, provisioned_hours=hours)

    told = {
        "requests_per_month": traffic.requests_per_month,
        "peaks_per_month": round(traffic.peaks_per_month, 4),
        "region": prices.region,
        "prices_dated": prices.dated,
        "prices_from": prices.origin,
        "currency": "USD",
    }
    return month, told


def _machine() -> dict[str, Any]:
    import platform

    from serverless_lab import __version__

    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "python": platform.python_version(),
        "lab": __version__,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


# --- running ---------------------------------------------------------------------------------------------------------


def _confirm(
    bench: Bench,
    stack: StackPlan,
    todo: list[PlannedRun],
    region: str | None,
    prices: Path | None,
    max_cost: float | None,
    yes: bool,
) -> None:
    """Show what will be done and what it may cost, where somebody pays for it or has set a limit.

    Raises:
        LoadError: it may cost more than `max_cost`.
    """
    from serverless_lab.cli.confirm import confirm_change, planned_count
    from serverless_lab.cli.estimate import comparison_lines
    from serverless_lab.compare.execution import StackBench

    target = bench.target if isinstance(bench, StackBench) else None
    details = []
    if max_cost is not None or (target is not None and target.name == "aws"):
        where = region or ("us-east-1" if target is None else target.region)
        details = comparison_lines(todo, stack, region=where, prices_file=prices, max_cost=max_cost)
    if target is not None:
        requests = sum(planned_count(run.setting.scenario, run.seed) for run in todo)
        what = f"deploy and delete stack {stack.stack_name} {len(todo)} times, and send it {requests} requests in all"
        confirm_change(target, what, details=details, yes=yes)


def _run(plan: Plan, folder: ComparisonFolder, bench: Bench, *, quiet: bool) -> bool:
    """Make the missing runs; whether the user stopped that, by Ctrl-C or SIGTERM."""
    import signal

    from serverless_lab.compare.execution import Interrupted
    from serverless_lab.compare.running import run_plan

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    teller = _Lines(quiet)
    before = signal.signal(signal.SIGTERM, stop)
    try:
        run_plan(plan, folder, bench, teller)
    except (Interrupted, KeyboardInterrupt):
        return True
    finally:
        signal.signal(signal.SIGTERM, before)
        teller.close()
    return False


class _Lines:
    """A line when a run begins and one when it ends; on a terminal, how far it is in between."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._line: ProgressLine | None = None

    def begins(self, run: PlannedRun, number: int, planned: int, remaining_seconds: float | None) -> OnProgress:
        left = "" if remaining_seconds is None else f", about {_minutes(remaining_seconds)} left"
        self._say(f"run {number} of {planned}: {run.setting.name}, seed {run.seed}{left}")
        self._line = ProgressLine(f"  {run.setting.name}", self._quiet, announce=False)
        self._line.__enter__()
        return self._line.update

    def step(self, sentence: str) -> None:
        """Deploying is a few seconds of a run: its steps would hide what a run has shown."""

    def ended(self, found: RunEnded) -> None:
        from serverless_lab.coldstarts.statistics import nearest_rank, sorted_values

        self.close()
        shown = found.figures
        cold = "" if shown.waited_count is None else f"{shown.waited_count[0]} of {shown.waited_count[1]} cold, "
        latency = sorted_values(shown.latency_ms)
        times = (
            f"p50 {nearest_rank(latency, 0.5):.0f} ms, p99 {nearest_rank(latency, 0.99):.0f} ms, "
            if len(latency)
            else ""
        )
        self._say(f"  {cold}{times}{found.seconds:.0f} s")

    def close(self) -> None:
        if self._line is not None:
            self._line.__exit__(None, None, None)
            self._line = None

    def _say(self, text: str) -> None:
        if not self._quiet:
            say(text)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


# --- telling ---------------------------------------------------------------------------------------------------------


def _write_pages(report: ComparisonReport, folder: ComparisonFolder, html: Path | None) -> None:
    from serverless_lab.cli.pages import unwritable
    from serverless_lab.project import write_text
    from serverless_lab.reporting.comparison_page import comparison_page

    page = comparison_page(report)
    write_text(folder.page, page)
    if html is not None:
        try:
            write_text(html, page)
        except OSError as error:
            raise unwritable(html, error) from error
    say(f"HTML page: {html or folder.page}")


def _print(report: ComparisonReport, as_json: bool, markdown: bool) -> None:
    from serverless_lab.cli.options import stdout_console

    if as_json:
        print_json(report.to_json())
    elif markdown:
        from serverless_lab.reporting.comparison import markdown_text

        typer.echo(markdown_text(report), nl=False)
    else:
        from serverless_lab.reporting.comparison import print_comparison

        print_comparison(report, stdout_console())
