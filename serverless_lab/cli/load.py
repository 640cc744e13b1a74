"""`lab load`: sends a scenario to the deployed API."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serverless_lab.cli.cold import Cold, new_environments, recycling_lines
from serverless_lab.cli.confirm import Yes
from serverless_lab.cli.estimate import MaxCost
from serverless_lab.cli.options import AsJson, Profile, print_json, say, stderr_console
from serverless_lab.cli.real_time import real_time_warning
from serverless_lab.cli.worker import send_share
from serverless_lab.errors import EmulatorError, LoadError, NothingDeployed, TargetBusy, TargetError
from serverless_lab.project import DeployedFunction, Deployment, Project

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from types import TracebackType

    from serverless_lab.load.child import RemoteWorkers
    from serverless_lab.load.follower import LoadProgress
    from serverless_lab.load.runner import LoadResult
    from serverless_lab.scenario import Scenario
    from serverless_lab.targets.base import Target

ScenarioName = Annotated[
    str | None, typer.Option("--scenario", help="A scenario's name, or the path of one's YAML file.")
]
Request = Annotated[
    str | None, typer.Option("--request", help="Send this instead of the scenario's requests: 'GET /hello'.")
]
Seed = Annotated[int | None, typer.Option(help="Instead of the scenario's own seed.")]
Processes = Annotated[int | None, typer.Option(min=1, help="Locust processes.  [default: by the scenario's rate]")]
Master = Annotated[
    bool, typer.Option("--master", help="Let the processes of `lab load --worker`, on any machines, send it.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="With --master: how many processes it waits for.")]
WorkerWait = Annotated[
    int, typer.Option(min=1, help="For how many seconds a master and its workers wait for each other.")
]
Worker = Annotated[bool, typer.Option("--worker", help="Send a share of what a `lab load --master` asks for.")]
MasterHost = Annotated[str, typer.Option(help="With --worker: where the master, or a tunnel to it, listens.")]
MasterPort = Annotated[int, typer.Option(min=1, max=65535, help="The master's port; it listens on 127.0.0.1 alone.")]
Force = Annotated[bool, typer.Option("--force", help="Send it although memory may not suffice.")]


def load(
    scenario: ScenarioName = None,
    request: Request = None,
    url: Annotated[str | None, typer.Option(help="Send to this URL.  [default: the deployed API]")] = None,
    seed: Seed = None,
    processes: Processes = None,
    locustfile: Annotated[Path | None, typer.Option(help="Run your own locustfile against the API instead.")] = None,
    users: Annotated[int, typer.Option(min=1, help="With --locustfile: users at once.")] = 10,
    run_time: Annotated[int, typer.Option(min=1, help="With --locustfile: seconds.")] = 60,
    header: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, sent with every request and written nowhere. Repeatable.")
    ] = None,
    web: Annotated[bool, typer.Option("--web", help="Show Locust's page on 127.0.0.1 while it runs.")] = False,
    web_port: Annotated[int, typer.Option(min=1, max=65535, help="The page's port.")] = 8089,
    cold: Cold = None,
    master: Master = False,
    workers: Workers = None,
    worker_wait: WorkerWait = 600,
    worker: Worker = False,
    master_host: MasterHost = "127.0.0.1",
    master_port: MasterPort = 5557,
    force: Force = False,
    profile: Profile = None,
    max_cost: MaxCost = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send a scenario's requests to the deployed API.

    Locust sends them at the instants the scenario says: arrivals do not wait for answers. The run's folder is printed
    on stdout; `lab coldstarts report` reads it. The exit code is 1 when the run was not complete or every request
    failed.

    Example: lab load --scenario monday-spike
    """
    if worker:
        if master or scenario is not None or locustfile is not None or url is not None:
            raise typer.BadParameter("--worker sends what its master says: name nothing to send")
        send_share(
            master_host,
            master_port,
            wait_s=worker_wait,
            processes=processes or 1,
            headers=named_values(header or []),
            as_json=as_json,
        )
        return
    if (scenario is None) == (locustfile is None):
        raise typer.BadParameter("name one of --scenario and --locustfile")
    if header and locustfile is not None:
        raise typer.BadParameter("--header goes with --scenario: a locustfile sets its own headers")
    if master != (workers is not None):
        raise typer.BadParameter("--master and --workers go together: how many processes will send?")
    if master and (locustfile is not None or processes is not None):
        raise typer.BadParameter("--master sends a --scenario, by the --workers that others start")
    from serverless_lab.load.child import RemoteWorkers

    project = Project()
    result = run_scenario(
        project,
        scenario=scenario,
        request=request,
        url=url,
        seed=seed,
        processes=processes,
        locustfile=locustfile,
        users=users,
        run_time=run_time,
        headers=named_values(header or []),
        web=web,
        web_port=web_port,
        cold=cold,
        force=force,
        profile=profile,
        max_cost=max_cost,
        yes=yes,
        remote=None if workers is None else RemoteWorkers(workers, master_port, worker_wait),
        quiet=as_json,
    )
    if as_json:
        print_json(result.to_json())
    else:
        tell(result)
        typer.echo(result.run_folder)
    check_finished(project, result)
    check_succeeded(project, result)


def named_values(given: list[str]) -> dict[str, str]:
    """The headers of `--header NAME=VALUE`."""
    for text in given:
        if "=" not in text:
            raise typer.BadParameter(f"--header {text}: write it as NAME=VALUE")
    return dict(text.split("=", 1) for text in given)


def check_finished(project: Project, result: LoadResult) -> None:
    """Leave with an error when the run was stopped, or its emulator ended meanwhile.

    Raises:
        TargetError: the target is gone, and how to get it back.
    """
    from serverless_lab.cli.context import embedded_instance

    if result.interrupted:
        raise typer.Exit(130)
    if result.manifest.target == "local" and (result.failed or not result.complete):
        deployment = project.deployment_or_none()
        if deployment is not None and embedded_instance(project) != deployment.instance_id:
            raise EmulatorError(
                f"the emulator ended during run {result.manifest.run_id}; its state and the run's log were in memory",
                hint=f"`lab deploy` brings it back, then send the load again; its log: {project.emulator_log}",
            )
    if result.manifest.target == "localstack" and (result.failed or not result.complete):
        _check_there(project, result)
    if not result.complete:
        raise typer.Exit(1)


def check_succeeded(project: Project, result: LoadResult) -> None:
    """Leave with an error when every request failed, by what the scenario calls so: that measures nothing.

    Raises:
        LoadError: with the answers, and where to look for the reason.
    """
    if result.succeeded or not result.failed:
        return
    last = project.deployment_or_none()
    functions = last.functions if last is not None and last.stack_name == result.manifest.stack_name else ()
    raise LoadError(
        f"run {result.manifest.run_id}: every request failed{_outcomes(result)}",
        hint=why_none(result.by_status, functions, result.by_error),
    )


UNAUTHORIZED = 401
NO_SUCH_ROUTE = frozenset({403, 404})
"""What API Gateway answers to a path that the API does not have: a REST API, an HTTP API."""


def why_none(statuses: Collection[int], functions: Sequence[DeployedFunction], errors: Collection[str] = ()) -> str:
    """Where to look when every request failed with these statuses and errors of the client's side."""
    if set(statuses) == {UNAUTHORIZED}:
        return "it asks who you are: send what its authorizer wants to see, --header 'authorization=...'"
    if statuses and set(statuses) <= NO_SUCH_ROUTE:
        return "an API answers so to a path that it does not have: send one of its own with --request 'GET /path'"
    for function in functions:
        if function.cannot_run is not None:
            return f"{function.name} does not run here: {function.cannot_run}"
    name = functions[0].name if len(functions) == 1 else "FUNCTION"
    if any(status >= 500 for status in statuses) and functions:
        return f"see why: `lab invoke {name}` shows its answer, `lab logs {name}` its log"
    if not statuses and errors and functions and all(error.startswith("timeout") for error in errors):
        return (
            "no answer came in time: `client_timeout` of the scenario says how long clients wait, "
            f"`lab logs {name}` what became of the requests"
        )
    return "which statuses are a success is the scenario's to say: `expect` of a request, see docs/scenarios.md"


def _outcomes(result: LoadResult) -> str:
    """` (499 x 202, 1 x timeout)`; nothing where a locustfile keeps its statuses to itself."""
    found = [f"{count} x {status}" for status, count in sorted(result.by_status.items())]
    found += [f"{count} x {error}" for error, count in sorted(result.by_error.items())]
    return f" ({', '.join(found)})" if found else ""


def _check_there(project: Project, result: LoadResult) -> None:
    """Requests that failed may have met a target that had ended: then that is what is to be known."""
    from serverless_lab.cli.context import living_deployment

    deployment = project.deployment_or_none()
    if deployment is None or deployment.stack_name != result.manifest.stack_name:
        return
    try:
        living_deployment(project)
    except TargetBusy as error:
        say(f"  note: {error.message}: what the run has started still goes on there")
        say("  `lab coldstarts report` reads its log once it answers; fewer requests at once are worked off sooner")
    except (TargetError, NothingDeployed) as error:
        raise TargetError(
            f"the target ended during run {result.manifest.run_id}; its state and the run's log were in memory "
            f"({error.message})",
            hint="start it, `lab deploy --target localstack`, then send the load again; the requests of this run are "
            f"kept in {result.run_folder}",
        ) from error


def run_scenario(
    project: Project,
    *,
    scenario: str | None,
    request: str | None = None,
    url: str | None = None,
    seed: int | None = None,
    processes: int | None = None,
    locustfile: Path | None = None,
    users: int = 10,
    run_time: int = 60,
    headers: dict[str, str] | None = None,
    web: bool = False,
    web_port: int = 8089,
    cold: bool | None = None,
    force: bool = False,
    profile: str | None = None,
    max_cost: float | None = None,
    yes: bool = False,
    remote: RemoteWorkers | None = None,
    quiet: bool = False,
) -> LoadResult:
    """Send it and remember the run."""
    from serverless_lab.cli.confirm import confirm_load
    from serverless_lab.cli.context import living_deployment
    from serverless_lab.cli.estimate import estimate_lines
    from serverless_lab.load.runner import run_load, run_locustfile
    from serverless_lab.scenario import load_scenario, with_request

    chosen = None if scenario is None else load_scenario(scenario, project.directory)
    if chosen is not None and request is not None:
        chosen = with_request(chosen, request)
    deployment: Deployment | None = None
    target: Target | None = None
    if url is None:
        deployment, target = living_deployment(project, profile=profile)
        url = deployment.api_url
        if url is None:
            raise NothingDeployed(
                f"stack `{deployment.stack_name}` has no API to send to", hint="name a URL: --url http://127.0.0.1:…"
            )
    confirm_load(
        target,
        chosen,
        url=url,
        seed=seed,
        locustfile=None if locustfile is None else locustfile.name,
        users=users,
        run_time_s=run_time,
        details=[
            *(recycling_lines(deployment) if cold else ()),
            *estimate_lines(project, target, deployment, chosen, seed=seed, max_cost=max_cost),
        ],
        yes=yes,
    )
    if chosen is None:
        assert locustfile is not None
        with (
            new_environments(project, deployment, target, None, cold) as recycled,
            new_run(project, locustfile.stem) as folder,
        ):
            result = run_locustfile(
                locustfile,
                base_url=url,
                run_folder=folder,
                users=users,
                run_time_s=run_time,
                processes=processes or 1,
                deployment=deployment,
                web=web,
                web_port=web_port,
            )
    else:
        if deployment is not None and deployment.target == "local":
            check_memory(project, chosen, seed, force)
        warning = real_time_warning(deployment, chosen, seed)
        if warning is not None:
            say(f"warning: {warning}")
            say("  a scenario of fewer requests at once, or virtual time on --target local, measures functions")
        if remote is not None and not quiet:
            say(f"waiting for {remote.count} workers: `lab load --worker --master-port {remote.port}`")
        with (
            new_environments(project, deployment, target, chosen, cold) as recycled,
            new_run(project, chosen.name) as folder,
            ProgressLine(chosen.name, quiet) as line,
        ):
            result = run_load(
                chosen,
                base_url=url,
                run_folder=folder,
                seed=seed,
                processes=processes,
                progress=line.update,
                extra_headers=headers,
                deployment=deployment,
                web=web,
                web_port=web_port,
                recycled=recycled,
                remote=remote,
            )
    if recycled:
        result = replace(result, manifest=replace(result.manifest, recycled=recycled))
        result.manifest.write(result.run_folder)
    return result


@contextlib.contextmanager
def new_run(project: Project, name: str) -> Iterator[Path]:
    """A run's folder: remembered as the last run once it holds one, and gone again when nothing was sent."""
    from datetime import datetime

    folder = project.new_run(name, datetime.now())
    try:
        yield folder
    finally:
        if (folder / "manifest.json").is_file():
            project.remember_run(folder)
        else:
            with contextlib.suppress(OSError):
                folder.rmdir()


ASSUMED_ENVIRONMENT_MB = 64
"""assumed: an environment with a few SDK clients, until one of this deployment has been measured."""

ASSUMED_BUSY_MS = 2_000.0
"""assumed: how long a cold request keeps its environment busy, on a host that is not saturated."""


def concurrency_of(scenario: Scenario, seed: int | None = None) -> int:
    """How many of the scenario's requests may be in work at once, while every one of them is cold."""
    from serverless_lab.load.arrivals import arrivals, peak_concurrency_estimate

    width = max(entry.width for entry in scenario.mix)
    return scenario.clients or peak_concurrency_estimate(arrivals(scenario, seed), ASSUMED_BUSY_MS, width)


def check_memory(project: Project, scenario: Scenario, seed: int | None, force: bool) -> None:
    """Refuse a run whose environments would not fit into the memory that is free here, unless `force`.

    Raises:
        LoadError: with the numbers.
    """
    from serverless_lab.cli.memory import available_mb
    from serverless_lab.emulator import control

    found = control.status(project)
    if found is None:
        return
    sizes = control.largest_environment_mb(found["port"])
    size_mb = max(sizes.values(), default=ASSUMED_ENVIRONMENT_MB)
    count = min(concurrency_of(scenario, seed), found["account_concurrency"])
    # Environments of an earlier run hold their memory already, and the scenario's requests will use them first.
    there = max((sum(states.values()) for states in found["environments"].values()), default=0)
    needed_mb, free_mb = max(0, count - there) * size_mb, available_mb()
    if needed_mb <= free_mb:
        return
    grade = "measured" if sizes else "assumed"
    beside = f" beside the {there} there are" if there else ""
    text = f"{count - there} environments{beside} x {size_mb} MB ({grade}) = {needed_mb} MB, and {free_mb} MB are free"
    if force:
        say(f"warning: scenario `{scenario.name}` may need {text}")
        return
    raise LoadError(
        f"scenario `{scenario.name}` may need {text}", hint="make its burst smaller, free memory, or add --force"
    )


def tell(result: LoadResult) -> None:
    """The run in a few lines of words."""
    planned = "" if result.planned is None else f" of {result.planned}"
    virtual = result.manifest.clock == "virtual"
    took = f"{result.duration_ms / 1000:.1f} s"
    if virtual:
        took += f" of virtual time in {result.real_duration_ms / 1000:.1f} s"
    say(f"run {result.manifest.run_id}: {result.sent}{planned} requests in {took}")
    say(f"  {result.succeeded} succeeded, {result.failed} failed{_outcomes(result)}")
    if result.latency_ms:
        say("  latency ms: " + _figures(result.latency_ms))
    if result.late_ms and not virtual:
        say("  sent late by ms: " + _figures(result.late_ms))
    for problem in result.problems:
        say(f"  note: {problem}")


def _figures(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in values.items())


class ProgressLine:
    """A line that shows how far the run is, on a terminal; elsewhere nothing until the end."""

    def __init__(self, name: str, quiet: bool, *, announce: bool = True) -> None:
        self._name = name
        self._quiet = quiet
        self._announce = announce
        self._view: Any = None

    def __enter__(self) -> ProgressLine:
        console = stderr_console()
        if not self._quiet and console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._view = Progress(
                TextColumn(self._name),
                BarColumn(),
                TextColumn("{task.fields[words]}"),
                TimeElapsedColumn(),
                console=console,
            )
            self._view.start()
            self._task = self._view.add_task(self._name, total=None, words="starting")
        elif not self._quiet and self._announce:
            say(f"sending {self._name}")
        return self

    def update(self, now: LoadProgress) -> None:
        if self._view is None:
            return
        latency = (
            "" if now.latency_ms_p50 is None else f"  p50 {now.latency_ms_p50:.0f} p99 {now.latency_ms_p99:.0f} ms"
        )
        words = f"{now.finished}/{now.planned}  {now.in_flight} in flight  {now.failed} failed{latency}"
        self._view.update(self._task, total=now.planned, completed=now.finished, words=words)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._view is not None:
            self._view.stop()
