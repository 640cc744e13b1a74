"""`lab coldstarts`: what the REPORT lines of a run, or of log files of any origin, say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverless_lab.cli import watch
from serverless_lab.cli.confirm import Yes
from serverless_lab.cli.log_range import READ_ON, LogRange, instant_ms, progress_shown, report_range
from serverless_lab.cli.options import AsJson, Profile, Region, RunId, say, stdout_console
from serverless_lab.cli.pages import check_page, unwritable, write_pages
from serverless_lab.cli.stopping import if_stopped
from serverless_lab.errors import BadInput, NothingDeployed, ReportError
from serverless_lab.project import Project, read_json

if TYPE_CHECKING:
    from serverless_lab.coldstarts.gates import Gate
    from serverless_lab.coldstarts.judgement import Judgement
    from serverless_lab.coldstarts.report import ColdStartReport
    from serverless_lab.targets.base import Target

FAILED_GATE = 3
"""The exit code when a gate fails, or anything is worse than a baseline that must not be."""

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable in which GitHub Actions names the file of a step's summary
(documented: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands).
"""

app = typer.Typer(
    help="Cold starts: how many, how long, of which function, when.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def coldstarts() -> None:
    pass


@app.command()
def report(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE|FOLDER|-", help="Log files, folders of them, or - for standard input.  [default: a run's log]"
        ),
    ] = None,
    run: RunId = None,
    log_format: Annotated[
        str | None,
        typer.Option("--format", help="Read the files as text, csv, json or base64.  [default: told by their content]"),
    ] = None,
    function: Annotated[
        list[str] | None,
        typer.Option(
            "--function",
            help="A function of the target, repeatable; with files, the function's name where they do not say it.",
        ),
    ] = None,
    stack: Annotated[str | None, typer.Option("--stack", help="Read the log of this stack's functions.")] = None,
    log_group: Annotated[list[str] | None, typer.Option("--log-group", help="Read this log group; repeatable.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Only what began from then on: 2026-11-24T16:00, or 2h before now."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only what began before then.")] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="Whose log: local, localstack or aws.  [default: of the last deployment]"),
    ] = None,
    region: Region = None,
    insights: Annotated[
        bool | None,
        typer.Option(
            "--insights/--no-insights",
            help="Read with Logs Insights, which AWS bills by what it scans, or in pages.  [default: pages; with "
            "--max-cost, Insights where pages would take minutes]",
        ),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", min=0, help="Do not read with Logs Insights what may cost more than so many USD."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", help="Group by function, version, memory, initialization-type or bin; repeatable for combinations."
        ),
    ] = None,
    bin_width: Annotated[
        str | None, typer.Option("--bin", help="Width of a time bin, such as 10s or 5m.  [default: a round one]")
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read the log again, though it was read before.")] = False,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if", help="A gate, such as 'cold_rate > 5%' or 'orders: init_p90 > 800ms'; repeatable. Exit code 3."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Compare with a report saved by --json, or with a run's id.")
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option("--tolerance", help="How much worse than the baseline counts as equal.  [default: 10%]"),
    ] = None,
    fail_on_regression: Annotated[
        bool, typer.Option("--fail-on-regression", help="Exit code 3 when anything is worse than the baseline.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a row per function and time bin as CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the report as Markdown.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the report with its charts to one HTML file as well.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", help="Write the single invocations to a Parquet file as well.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write the gates and the comparison to a JUnit XML file as well.")
    ] = None,
    github_summary: Annotated[
        bool, typer.Option("--github-summary", help="Add the report to the step summary of GitHub Actions as well.")
    ] = False,
    profile: Profile = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Tell the cold starts of a run, of functions over time, or of log files.

    Read from the REPORT lines of the functions' logs: how many, which share of the invocations with a 95 % interval,
    how long their inits took, and what the client saw. Without a file, the log of the last run is read; with --since,
    --stack, --function or --log-group, what functions have logged on a target: a reading that is interrupted goes on
    where it stopped. Files may come from anywhere: consoles, exports, `aws logs tail`, in any mixture. The exit code is
    3 when a gate fails; a gate on what the log does not tell is an error. docs/gates.md has the gates and a CI example.
    A run's report is put into its folder as well, as report.html.

    Example: lab coldstarts report logs/ --html report.html --fail-if 'cold_rate > 5%'
    """
    from serverless_lab.coldstarts.groups import checked_dimensions

    if sum((as_csv, as_json, as_markdown)) > 1:
        raise typer.BadParameter("name one of --csv, --json and --markdown")
    gates = _gates(fail_if or [])
    if baseline is None and (tolerance is not None or fail_on_regression):
        raise typer.BadParameter("--tolerance and --fail-on-regression go with --baseline")
    if junit is not None and not gates and baseline is None:
        raise typer.BadParameter("--junit has the outcome of gates: name --fail-if or --baseline")
    allowed = None if tolerance is None else _share(tolerance)
    summary_file = _summary_file() if github_summary else None
    if html is not None:
        check_page(html)
    run_folder: Path | None = None
    bin_ms = None if bin_width is None else _bin_ms(bin_width)
    dimensions = checked_dimensions(by or [])
    asked = LogRange(
        functions=tuple(function or ()),
        log_groups=tuple(log_group or ()),
        stack=stack,
        since=since,
        until=until,
        target=target,
        region=region,
        profile=profile,
        insights=insights,
        max_cost=max_cost,
        yes=yes,
        refresh=refresh,
    )
    if paths:
        if run is not None or refresh or profile is not None:
            raise typer.BadParameter("--run, --refresh and --profile are for the log of a run, not for files")
        if stack or log_group or target or region or insights is not None or max_cost is not None:
            raise typer.BadParameter(
                "--stack, --log-group, --target, --region, --insights and --max-cost are not for files"
            )
        if len(asked.functions) > 1:
            raise typer.BadParameter("name one --function with files: the one that they do not name")
        from serverless_lab.coldstarts.file_reports import report_files

        _refuse_runs(paths)
        found = report_files(
            paths,
            format=log_format,
            function=asked.functions[0] if asked.functions else "",
            since_ms=None if since is None else instant_ms("--since", since),
            until_ms=None if until is None else instant_ms("--until", until),
            bin_ms=bin_ms,
            by=dimensions,
            with_rows=parquet is not None,
        )
        _refuse_nothing_read(found)
    elif log_format is not None:
        raise typer.BadParameter("--format is for files: name one")
    elif asked.is_asked_for:
        if run is not None:
            raise typer.BadParameter("--run is for the log of a run, not for functions over time")
        found = report_range(asked, bin_ms=bin_ms, by=dimensions)
    else:
        run_folder = Project().run(run)
        found = _run_report(run_folder, profile, refresh, bin_ms, dimensions)
    judgement = _judge(found, gates, baseline, allowed, fail_on_regression, profile)
    if parquet is not None and found.saved is not None:
        _write_parquet(parquet, found)
    if junit is not None:
        from serverless_lab.reporting.junit import junit_xml

        _write(junit, junit_xml(judgement))
    if html is not None or run_folder is not None:
        write_pages(found, judgement, run_folder=run_folder, to=html)
    if summary_file is not None:
        from serverless_lab.reporting.markdown import markdown_text

        _append(summary_file, markdown_text(found, judgement))
    if judgement.untold:
        _say_failures(judgement)
        _refuse_untold(judgement)
    _print_report(found, judgement, as_json=as_json, as_csv=as_csv, as_markdown=as_markdown)
    _say_failures(judgement)
    if judgement.failures:
        raise typer.Exit(FAILED_GATE)


app.command()(watch.watch)


@app.command()
def schema(as_json: AsJson = False) -> None:
    """Print the JSON Schema of the report.

    It describes what `lab coldstarts report --json` prints. With or without --json: a schema is JSON anyway.

    Example: lab coldstarts schema > report.schema.json
    """
    text = (Path(__file__).parent.parent / "coldstarts" / "report.schema.json").read_text(encoding="utf-8")
    typer.echo(text, nl=False)


def _refuse_nothing_read(found: ColdStartReport) -> None:
    """A report on files none of which is a log would look like one on functions that nobody called."""
    files = found.files
    if files is None or found.total.invocations or found.unfinished:
        return
    if files.unreadable_files and files.unreadable_files >= sum(files.formats.values()):
        first = files.unreadable[0]
        others = f", and {files.unreadable_files - 1:,} more like it" if files.unreadable_files > 1 else ""
        raise ReportError(
            f"{first.file}: {first.reason}{others}", hint="docs/coldstarts.md has what can be read; --format forces one"
        )


def _refuse_runs(paths: list[Path]) -> None:
    """A run's folder has no log, but what lab made of it."""
    from serverless_lab.coldstarts.runs import MANIFEST_FILE, REQUESTS_FILE

    for path in paths:
        if (path / MANIFEST_FILE).is_file() and (path / REQUESTS_FILE).is_file():
            raise BadInput(f"{path} is the folder of a run, not a log", hint=f"its report: --run {path.resolve().name}")


def _run_report(
    folder: Path, profile: str | None, refresh: bool = False, bin_ms: int | None = None, by: tuple[str, ...] = ()
) -> ColdStartReport:
    from serverless_lab.coldstarts.runs import build_report

    target = target_of_run(Project(), folder, profile)
    with if_stopped(READ_ON), progress_shown() as on_progress:
        return build_report(
            run_folder=folder, target=target, refresh=refresh, bin_ms=bin_ms, by=by, on_progress=on_progress
        )


# --- gates and baselines ---------------------------------------------------------------------------------------------


def _gates(texts: list[str]) -> list[Gate]:
    from serverless_lab.coldstarts.gates import parse_gate

    found = []
    for text in texts:
        try:
            found.append(parse_gate(text))
        except BadInput as error:
            raise typer.BadParameter(f"--fail-if {error.message}") from error
    return found


def _judge(
    report: ColdStartReport,
    gates: list[Gate],
    baseline: str | None,
    tolerance: float | None,
    fail_on_regression: bool,
    profile: str | None,
) -> Judgement:
    from serverless_lab.coldstarts.baseline import TOLERANCE, baseline_of, compare, read_baseline
    from serverless_lab.coldstarts.gates import evaluate
    from serverless_lab.coldstarts.judgement import Judgement

    comparison = None
    if baseline is not None:
        if Path(baseline).is_file():
            before = read_baseline(Path(baseline))
        else:
            try:
                before = baseline_of(_run_report(Project().run(baseline), profile), f"run {baseline}")
            except BadInput as error:
                raise BadInput(f"--baseline: no file `{baseline}`, and {error.message}", hint=error.hint) from error
        comparison = compare(report, before, tolerance=TOLERANCE if tolerance is None else tolerance)
    return Judgement(evaluate(report, gates), comparison, fail_on_regression)


def _say_failures(judgement: Judgement) -> None:
    for sentence in judgement.failures:
        say(f"failed: {sentence}")


def _refuse_untold(judgement: Judgement) -> None:
    """Raises ReportError: something was demanded that the input does not tell."""
    raise ReportError(
        "\n".join(judgement.untold),
        hint="what cannot be told is no pass: read a log that has it, or demand something else (docs/gates.md)",
    )


# --- printing and writing --------------------------------------------------------------------------------------------


def _print_report(
    report: ColdStartReport, judgement: Judgement, *, as_json: bool, as_csv: bool, as_markdown: bool
) -> None:
    if as_json:
        from serverless_lab.coldstarts.plain import dumps

        typer.echo(dumps(report.to_json(judgement)))
    elif as_csv:
        typer.echo(report.to_csv(), nl=False)
    elif as_markdown:
        from serverless_lab.reporting.markdown import markdown_text

        typer.echo(markdown_text(report, judgement), nl=False)
    else:
        from serverless_lab.reporting.tables import print_report

        print_report(report, stdout_console(), judgement)


def _write(path: Path, text: str) -> None:
    from serverless_lab.project import write_text

    try:
        write_text(path, text)
    except OSError as error:
        raise unwritable(path, error) from error


def _write_parquet(path: Path, report: ColdStartReport) -> None:
    from serverless_lab.coldstarts.frame import write_parquet

    assert report.saved is not None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(path, report.saved)
    except OSError as error:
        raise unwritable(path, error) from error


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise unwritable(path, error) from error


def _summary_file() -> Path:
    found = os.environ.get(STEP_SUMMARY)
    if not found:
        raise BadInput(
            f"--github-summary: {STEP_SUMMARY} is not set, so this is no step of GitHub Actions",
            hint="elsewhere: `lab coldstarts report --markdown > summary.md`",
        )
    return Path(found)


def target_of_run(project: Project, folder: Path, profile: str | None) -> Target | None:
    """Where the run was sent; None when that is gone but its log was read before.

    Another deployment's log must not be taken for it, nor the log of an emulator that was started since.

    Raises:
        NothingDeployed: the log is gone unread, or there never was one.
    """
    from serverless_lab.cli.context import embedded_instance, target_of

    manifest = read_json(folder / "manifest.json") or {}
    was_read = (folder / "invocations.parquet").is_file()
    if manifest.get("stack_name") is None:
        raise NothingDeployed(
            f"run {folder.name} was sent to a URL, {manifest.get('api_url')}: there is no log to report on",
            hint="deploy what is to be measured, and leave --url away: `lab deploy`, then `lab load`",
        )
    deployment = project.deployment_or_none()
    same = deployment is not None and all(
        getattr(deployment, name) == manifest.get(name)
        for name in ("target", "endpoint_url", "region", "instance_id")
        if name in manifest
    )
    target = target_of(project, deployment, profile=profile) if same and deployment is not None else None
    if target is not None and deployment is not None and deployment.target == "local":
        target = target if embedded_instance(project) == deployment.instance_id else None
    if target is not None and deployment is not None and deployment.target == "localstack" and not was_read:
        # Started anew, it has neither the stack nor its log, and a MiniStack says nothing of its lifetime.
        from serverless_lab.deploy.inventory import deployment_is_gone

        target = None if deployment_is_gone(target, deployment) else target
    if target is None and not was_read:
        on = manifest.get("target")
        gone = "was in the memory of an emulator that has ended" if on == "local" else f"is not on {on} any more"
        option = "" if on == "local" else f" --target {on}"
        raise NothingDeployed(
            f"the log of run {folder.name} {gone}, and it was never read",
            hint=f"`lab deploy{option}` brings stack {manifest['stack_name']} back, then send the load again",
        )
    return target


def _share(text: str) -> float:
    number = text.strip().removesuffix("%").strip()
    if not text.strip().endswith("%") or not number.replace(".", "", 1).isdecimal():
        raise BadInput(f"--tolerance `{text}` is no percentage", hint="for example --tolerance 10%")
    return float(number) / 100


def _bin_ms(text: str) -> int:
    from serverless_lab.located_yaml import duration_ms

    milliseconds = duration_ms(text)
    if milliseconds is None or milliseconds < 1:
        raise BadInput(f"--bin `{text}` is no width", hint="a number and ms, s, m, h or d: --bin 10s")
    return int(milliseconds)
