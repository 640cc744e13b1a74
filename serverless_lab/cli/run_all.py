"""`lab run`: deploy, load and report in one command."""

from __future__ import annotations

import typer

from serverless_lab.cli.cold import Cold
from serverless_lab.cli.confirm import Yes
from serverless_lab.cli.deploy import run_deploy
from serverless_lab.cli.estimate import MaxCost
from serverless_lab.cli.load import (
    Force,
    Processes,
    Request,
    ScenarioName,
    Seed,
    check_finished,
    check_succeeded,
    run_scenario,
    tell,
)
from serverless_lab.cli.options import (
    AsJson,
    Parameters,
    Profile,
    Region,
    StackName,
    TargetName,
    TemplatePath,
    parse_parameters,
    say,
    stdout_console,
)
from serverless_lab.cli.pages import write_pages
from serverless_lab.cli.stopping import if_stopped
from serverless_lab.project import Project


def run_all(
    scenario: ScenarioName = None,
    target_name: TargetName = None,
    template: TemplatePath = None,
    stack: StackName = None,
    parameter: Parameters = None,
    request: Request = None,
    seed: Seed = None,
    processes: Processes = None,
    region: Region = None,
    profile: Profile = None,
    max_cost: MaxCost = None,
    yes: Yes = False,
    cold: Cold = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Deploy, load and report: the main job in one command.

    The exit code is 1 when the run was not complete or every request failed.

    Example: lab run --scenario monday-spike --parameter InitStyle=lazy
    """
    from serverless_lab.cli.context import living_deployment
    from serverless_lab.cli.log_range import READ_ON, progress_shown
    from serverless_lab.coldstarts.plain import dumps
    from serverless_lab.coldstarts.runs import build_report
    from serverless_lab.scenario import load_scenario, with_request

    if scenario is None:
        raise typer.BadParameter("name a --scenario")
    project = Project()
    chosen = load_scenario(scenario, project.directory)  # looked at before anything is deployed for it
    if request is not None:
        with_request(chosen, request)
    deployment, changed = run_deploy(
        project, target_name, template, stack, parse_parameters(parameter), region, profile, yes, quiet=as_json
    )
    if not as_json:
        say(f"stack {deployment.stack_name} on {deployment.target}: {'deployed' if changed else 'no changes'}")
    result = run_scenario(
        project,
        scenario=scenario,
        request=request,
        seed=seed,
        processes=processes,
        cold=cold,
        force=force,
        profile=profile,
        max_cost=max_cost,
        yes=yes,
        quiet=as_json,
    )
    if not as_json:
        tell(result)
    check_finished(project, result)
    _, target = living_deployment(project, profile=profile)
    with if_stopped(READ_ON), progress_shown() as on_progress:
        report = build_report(run_folder=result.run_folder, target=target, on_progress=on_progress)
    write_pages(report, None, run_folder=result.run_folder)
    if as_json:
        found = {"deployment": deployment.to_json(), "load": result.to_json(), "coldstarts": report.to_json()}
        typer.echo(dumps(found))
    else:
        from serverless_lab.reporting.tables import print_report

        print_report(report, stdout_console())
    check_succeeded(project, result)
