"""`lab cost`: what a run, a log or a month of traffic costs on AWS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverless_lab.cli.options import AsJson, print_json, quantity, say, stdout_console
from serverless_lab.errors import BadInput
from serverless_lab.project import Project

if TYPE_CHECKING:
    from serverless_lab.cost.gates import CostGate
    from serverless_lab.cost.prices import Prices
    from serverless_lab.cost.report import CostReport

FAILED_GATE = 3
DEFAULT_REGION = "us-east-1"

PricesFile = Annotated[
    Path | None, typer.Option("--prices", help="A file of prices of your own, laid over the bundled table.")
]


def cost(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN|FILE...", help="A run's id, or log files, folders or -.  [default: the last run]"),
    ] = None,
    profile: Annotated[
        Path | None, typer.Option("--profile", help="A traffic profile (YAML) to bill instead; see docs/cost.md.")
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", help="Estimate what sending this scenario to the deployed stack will cost instead."),
    ] = None,
    requests_per_month: Annotated[
        float | None,
        typer.Option(
            "--requests-per-month",
            parser=quantity,
            metavar="NUMBER",
            help="Bill a month of so many requests, each like the measured: 10000000, or 10M.",
        ),
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(min=1, max=744, help="Of that month, for what stands there all along.  [default: 720]"),
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="Whose prices.  [default: the run's or the profile's, or us-east-1]")
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option("--architecture", help="x86_64 or arm64: as if all functions were on it, at the same durations."),
    ] = None,
    prices: PricesFile = None,
    free_tier: Annotated[
        bool, typer.Option("--free-tier", help="Take the monthly free tier that never ends off the month's bill.")
    ] = False,
    fail_if: Annotated[
        list[str] | None,
        typer.Option("--fail-if", help="A gate in USD, such as 'total > 100' or 's3 > 20'; repeatable. Exit code 3."),
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read the run's log again.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a row per line of the bill as CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the bill as Markdown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what a run, a log or a month of traffic costs.

    A run is billed from its REPORT lines and from what its functions called, which the embedded emulator counts; a log
    from its REPORT lines; a profile as it says. Prices are dated tables in the package, each number with its source;
    --prices replaces what you know better. With --requests-per-month the same is billed for a month. With --scenario
    nothing is billed yet: it estimates what sending it will cost.

    Example: lab cost --requests-per-month 10000000 --fail-if 'total > 200'
    """
    if sum((as_csv, as_json, as_markdown)) > 1:
        raise typer.BadParameter("name one of --csv, --json and --markdown")
    gates = _gates(fail_if or [])
    if profile is not None and what:
        raise typer.BadParameter("name a run, files or --profile, and not several of them")
    if profile is not None and (hours is not None or refresh):
        raise typer.BadParameter("--hours and --refresh are for what was measured: a profile says `hours` itself")
    if free_tier and profile is None and requests_per_month is None:
        raise typer.BadParameter("--free-tier is for a month: name --requests-per-month too")
    if architecture not in (None, "x86_64", "arm64"):
        raise typer.BadParameter(f"--architecture {architecture}: it is x86_64 or arm64")
    if scenario is not None:
        if what or profile is not None or gates or requests_per_month is not None or as_csv or as_markdown:
            raise typer.BadParameter("with --scenario go --region, --prices and --json: it is an estimate")
        _estimate(scenario, region, prices, as_json)
        return
    asked = _Asked(requests_per_month, hours, free_tier, architecture, region, prices)
    found = asked.measured(what or [], refresh) if profile is None else asked.profile(profile)
    failures = [sentence for gate in gates if (sentence := gate.failure(found)) is not None]
    if as_json:
        print_json({**found.to_json(), "failures": failures})
    elif as_csv:
        typer.echo(found.to_csv(), nl=False)
    elif as_markdown:
        from serverless_lab.reporting.costs import cost_markdown

        typer.echo(cost_markdown(found), nl=False)
    else:
        from serverless_lab.reporting.costs import print_cost

        print_cost(found, stdout_console())
    for sentence in failures:
        say(f"failed: {sentence}")
    if failures:
        raise typer.Exit(FAILED_GATE)


class _Asked:
    """The options, and the bill of what they are about."""

    def __init__(
        self,
        requests_per_month: float | None,
        hours: float | None,
        free_tier: bool,
        architecture: str | None,
        region: str | None,
        prices: Path | None,
    ) -> None:
        from serverless_lab.cost.monthly import HOURS

        self.requests_per_month = requests_per_month
        self.hours = HOURS if hours is None else hours
        self.free_tier = free_tier
        self.architecture = architecture
        self.region = region
        self.prices_file = prices

    def prices(self, region: str | None) -> Prices:
        from serverless_lab.cost.prices import load_prices

        return load_prices(self.region or region or DEFAULT_REGION, self.prices_file)

    def profile(self, path: Path) -> CostReport:
        from serverless_lab.cost.profile import read_profile
        from serverless_lab.cost.report import of_profile

        found = read_profile(path, self.requests_per_month)
        return of_profile(found, self.prices(found.region), free_tier=self.free_tier, architecture=self.architecture)

    def measured(self, what: list[str], refresh: bool) -> CostReport:
        if what and not _is_run(what):
            if refresh:
                raise typer.BadParameter("--refresh is for the log of a run, not for files")
            return self.files([Path(word) for word in what])
        return self.run(Project().run(what[0] if what else None), refresh)

    def run(self, folder: Path, refresh: bool = False) -> CostReport:
        from serverless_lab.cli.coldstarts import target_of_run
        from serverless_lab.coldstarts.runs import INVOCATIONS_FILE, build_report
        from serverless_lab.cost.report import of_run
        from serverless_lab.cost.run_usage import read_run

        if refresh or not (folder / INVOCATIONS_FILE).is_file():
            build_report(run_folder=folder, target=target_of_run(Project(), folder, None), refresh=refresh)
        found = read_run(folder)
        return of_run(
            found,
            self.prices(found.region),
            requests_per_month=self.requests_per_month,
            hours=self.hours,
            free_tier=self.free_tier,
            architecture=self.architecture,
        )

    def files(self, paths: list[Path]) -> CostReport:
        from serverless_lab.coldstarts.file_reports import report_files
        from serverless_lab.cost.log_usage import usage_of_frame, usage_of_report
        from serverless_lab.cost.report import of_log

        report = report_files(paths, by=("function", "memory"))
        found = usage_of_report(report) if report.saved is None else usage_of_frame(report.saved.frame)
        notes = [f"{report.unreadable:,} places could not be read."] if report.unreadable else []
        if self.architecture is None:
            notes.append("A log does not say the architecture: its functions are billed as x86_64, or --architecture.")
        if self.region is None:
            notes.append(f"A log does not say the Region: these are the prices of {DEFAULT_REGION}, or --region.")
        return of_log(
            found,
            ", ".join(map(str, paths)),
            self.prices(None),
            requests_per_month=self.requests_per_month,
            hours=self.hours,
            free_tier=self.free_tier,
            architecture=self.architecture,
            notes=notes,
        )


def _estimate(scenario: str, region: str | None, prices: Path | None, as_json: bool) -> None:
    from serverless_lab.cli.context import living_deployment
    from serverless_lab.cli.estimate import estimate_of
    from serverless_lab.scenario import load_scenario

    project = Project()
    chosen = load_scenario(scenario, project.directory)
    deployment, target = living_deployment(project)
    found = estimate_of(project, target, deployment, chosen, region=region, prices_file=prices)
    if as_json:
        print_json(found.to_json())
        return
    from serverless_lab.reporting.costs import print_estimate

    print_estimate(found, chosen.name, stdout_console())


def _is_run(what: list[str]) -> bool:
    """Whether the words name a run and not files: one word, and nothing of that name in this directory."""
    return len(what) == 1 and what[0] != "-" and not Path(what[0]).exists() and "/" not in what[0]


def _gates(texts: list[str]) -> list[CostGate]:
    from serverless_lab.cost.gates import parse_gate

    found = []
    for text in texts:
        try:
            found.append(parse_gate(text))
        except BadInput as error:
            raise typer.BadParameter(f"--fail-if {error.message}; {error.hint}") from error
    return found
