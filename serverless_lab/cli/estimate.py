"""The bill of a scenario before it is sent: shown where an account pays for it, and a limit with --max-cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverless_lab.errors import BadInput, LabError, LoadError
from serverless_lab.project import Deployment, Project

if TYPE_CHECKING:
    from serverless_lab.cost.estimate import Estimate
    from serverless_lab.cost.run_usage import RunUsage
    from serverless_lab.scenario import Scenario
    from serverless_lab.targets.base import Target

MaxCost = Annotated[
    float | None,
    typer.Option("--max-cost", min=0, help="Refuse to send what may cost more than so many USD, on any target."),
]


def estimate_lines(
    project: Project,
    target: Target | None,
    deployment: Deployment | None,
    scenario: Scenario | None,
    *,
    seed: int | None = None,
    max_cost: float | None = None,
) -> list[str]:
    """What to show of the bill before `scenario` is sent; nothing where nobody pays and no limit was set.

    Raises:
        LoadError: it may cost more than `max_cost`.
        BadInput: there is a limit, and what it would cost cannot be told.
    """
    if max_cost is None and (target is None or target.name != "aws"):
        return []
    if scenario is None or target is None or deployment is None:
        if max_cost is None:
            return []
        what = "a locustfile sends" if scenario is None else "is behind a --url"
        raise BadInput(
            f"--max-cost: what {what} is not known before, and so not its bill",
            hint="send a scenario to a deployed stack, or leave --max-cost away",
        )
    try:
        found = estimate_of(project, target, deployment, scenario, seed)
    except LabError as error:
        if max_cost is not None:
            raise
        return [f"its bill cannot be estimated: {error.message}"]
    if max_cost is not None and found.high.total > Decimal(str(max_cost)):
        most = _dollars(found.high.total)
        raise LoadError(
            f"scenario `{scenario.name}` may cost up to {most}, and --max-cost is ${max_cost:g}: nothing was sent",
            hint=f"{found.assumptions[1]}; `lab cost --scenario {scenario.name}` has the whole estimate",
        )
    return [*found.lines(), *found.assumptions]


def estimate_of(
    project: Project,
    target: Target,
    deployment: Deployment,
    scenario: Scenario,
    seed: int | None = None,
    region: str | None = None,
    prices_file: Path | None = None,
) -> Estimate:
    """What sending `scenario` to `deployment` costs.

    Raises:
        BadInput: the prices of the Region are not known.
        TargetError: the target cannot be asked for the stack's resources.
    """
    from serverless_lab.cost.estimate import Stack, estimate
    from serverless_lab.cost.prices import load_prices
    from serverless_lab.deploy.events import stack_resources
    from serverless_lab.load.arrivals import arrivals, peak_concurrency_estimate, planned_requests
    from serverless_lab.targets.clients import errors_of

    prices = load_prices(region or deployment.region, prices_file)
    with errors_of(target, "repeat"):
        resources = stack_resources(target.client("cloudformation"), deployment.stack_name)
    schedule = arrivals(scenario, seed)
    requests = planned_requests(scenario, schedule)
    width = max(entry.width for entry in scenario.mix)
    longest_ms = max((function.timeout_s for function in deployment.functions), default=0) * 1000.0
    return estimate(
        requests=requests,
        duration_s=scenario.duration_ms / 1000,
        environments_max=scenario.clients or peak_concurrency_estimate(schedule, longest_ms, width),
        stack=Stack(
            deployment.functions, deployment.api_type, frozenset(str(found["ResourceType"]) for found in resources)
        ),
        prices=prices,
        measured=_last_run(project, deployment),
    )


def _last_run(project: Project, deployment: Deployment) -> RunUsage | None:
    """The last run of the same stack, on whichever target, whose log was read and of which all is known.

    What is not known of a run would make its bill look lower than it is.
    """
    from serverless_lab.cost.run_usage import read_run
    from serverless_lab.project import read_json

    for manifest_file in sorted(project.runs.glob("*/manifest.json"), reverse=True):
        try:
            manifest = read_json(manifest_file) or {}
            found = read_run(manifest_file.parent) if manifest.get("stack_name") == deployment.stack_name else None
        except LabError:
            continue
        if found is not None and not found.unknown:
            return found
    return None


def _dollars(amount: Decimal) -> str:
    from serverless_lab.cost.bill import dollars

    return dollars(amount)
