"""The bill of a scenario before it is sent: shown where an account pays for it, and a limit with --max-cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serverless_lab.errors import BadInput, LabError, LoadError
from serverless_lab.project import Deployment, Project

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from serverless_lab.compare.execution import StackPlan
    from serverless_lab.compare.plan import PlannedRun
    from serverless_lab.cost.estimate import Estimate, Stack
    from serverless_lab.cost.prices import Prices
    from serverless_lab.cost.run_usage import RunUsage
    from serverless_lab.deploy.template import Template
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
    """What to show of the bill before `scenario` is sent, where somebody is asked or has set a limit.

    Raises:
        LoadError: it may cost more than `max_cost`.
        BadInput: there is a limit, and what it would cost cannot be told.
    """
    from serverless_lab.cost.bill import dollars, exact_dollars

    if scenario is None or target is None or deployment is None:
        what = "a locustfile sends" if scenario is None else "is behind a --url"
        if max_cost is None:
            return [f"its bill cannot be estimated: what {what} is not known before"]
        raise BadInput(
            f"--max-cost: what {what} is not known before, and so not its bill",
            hint="send a scenario to a deployed stack, or leave --max-cost away",
        )
    if max_cost is None and target.name != "aws":
        return []
    try:
        found = estimate_of(project, target, deployment, scenario, seed)
    except LabError as error:
        if max_cost is not None:
            raise
        return [f"its bill cannot be estimated: {error.message}"]
    if max_cost is not None and found.high.total > Decimal(str(max_cost)):
        most, allowed = dollars(found.high.total), exact_dollars(max_cost)
        raise LoadError(
            f"scenario `{scenario.name}` may cost up to {most}, and --max-cost is {allowed}: nothing was sent",
            hint=f"{found.assumptions[1]}; `lab cost --scenario {scenario.name}` has the whole estimate",
        )
    return [*found.lines(), *found.assumptions]


def standing_lines(template: Template, values: Mapping[str, str], target: Target) -> list[str]:
    """What to show of the bill before `template` is deployed, with these parameters: what stands there costs.

    Nothing where nobody pays, and where nothing is billed unless it is used.
    """
    from serverless_lab.cost.bill import dollars
    from serverless_lab.cost.estimate import hourly
    from serverless_lab.cost.prices import load_prices
    from serverless_lab.deploy.planned import planned

    kept = planned(template, values).functions if target.name == "aws" else ()
    if not any(function.provisioned_environments for function in kept):
        return []
    try:
        amount = dollars(hourly(kept, load_prices(target.region)))
    except BadInput as error:
        amount = f"an amount that lab does not know ({error.message})"
    return [f"provisioned concurrency: {amount} an hour, from now until it is taken away"]


def comparison_lines(
    runs: Sequence[PlannedRun],
    stack: StackPlan,
    *,
    region: str,
    prices_file: Path | None = None,
    max_cost: float | None = None,
) -> list[str]:
    """What to show of the bill of a comparison's `runs`, all of them together, before the first is deployed.

    Raises:
        LoadError: it may cost more than `max_cost`.
        BadInput: there is a limit, and the prices of the Region are not known.
    """
    from serverless_lab.cost.bill import dollars, exact_dollars
    from serverless_lab.cost.prices import load_prices

    try:
        prices = load_prices(region, prices_file)
    except BadInput as error:
        if max_cost is not None:
            raise
        return [f"its bill cannot be estimated: {error.message}"]
    known: dict[Any, Estimate] = {}
    low = high = Decimal(0)
    for run in runs:
        key = (run.setting.name, run.seed)
        known[key] = _planned_estimate(run, stack, prices)
        low += known[key].low.total
        high += known[key].high.total
    if max_cost is not None and high > Decimal(str(max_cost)):
        most, allowed = dollars(high), exact_dollars(max_cost)
        raise LoadError(
            f"{len(runs)} runs may cost up to {most}, and --max-cost is {allowed}: nothing was deployed",
            hint="compare fewer variants (--only) or seeds (--repeat), or send a smaller scenario",
        )
    dearest = max(known.values(), key=lambda found: found.high.total)
    return [
        f"estimated bill: {dollars(low)} to {dollars(high)} (list prices of {prices.region}, {prices.dated})",
        *dearest.assumptions,
    ]


def _planned_estimate(run: PlannedRun, stack: StackPlan, prices: Prices) -> Estimate:
    from serverless_lab.cost.estimate import Stack
    from serverless_lab.deploy.planned import planned
    from serverless_lab.deploy.template import read_template

    template = read_template(stack.template)
    made = planned(template, template.parameter_values({**stack.parameters, **run.setting.parameters}))
    return _estimate(run.setting.scenario, run.seed, Stack(made.functions, made.api_type, made.resources), prices)


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
    from serverless_lab.cost.estimate import Stack
    from serverless_lab.cost.prices import load_prices
    from serverless_lab.deploy.events import stack_resources
    from serverless_lab.targets.clients import errors_of

    prices = load_prices(region or deployment.region, prices_file)
    with errors_of(target, "repeat"):
        resources = stack_resources(target.client("cloudformation"), deployment.stack_name)
    stack = Stack(
        deployment.functions, deployment.api_type, frozenset(str(found["ResourceType"]) for found in resources)
    )
    return _estimate(scenario, seed, stack, prices, _last_run(project, deployment))


def _estimate(
    scenario: Scenario, seed: int | None, stack: Stack, prices: Prices, measured: RunUsage | None = None
) -> Estimate:
    from serverless_lab.cost.estimate import estimate
    from serverless_lab.load.arrivals import arrivals, peak_concurrency_estimate, planned_requests

    schedule = arrivals(scenario, seed)
    width = max(entry.width for entry in scenario.mix)
    longest_ms = max((function.timeout_s for function in stack.functions), default=0) * 1000.0
    return estimate(
        requests=planned_requests(scenario, schedule),
        duration_s=scenario.duration_ms / 1000,
        environments_max=scenario.clients or peak_concurrency_estimate(schedule, longest_ms, width),
        stack=stack,
        prices=prices,
        measured=measured,
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
