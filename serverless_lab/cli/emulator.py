"""`lab up`, `lab down`, `lab status`: the embedded emulator of this directory."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serverless_lab.cli.options import AsJson, print_json, say
from serverless_lab.errors import EmulatorError
from serverless_lab.project import Deployment, Project

if TYPE_CHECKING:
    from serverless_lab.emulator.control import UpOptions


class ClockName(StrEnum):
    VIRTUAL = "virtual"
    WALL = "wall"


def up(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.  [default: a free one]")
    ] = None,
    idle_lifetime: Annotated[
        float | None,
        typer.Option("--idle-lifetime", min=0.001, help="Seconds an idle environment is kept.  [default: 600]"),
    ] = None,
    account_concurrency: Annotated[
        int | None, typer.Option(min=1, help="Invocations at once, all functions together.  [default: 1000]")
    ] = None,
    clock: Annotated[
        ClockName | None,
        typer.Option(help="virtual: results do not depend on this machine. wall: real time.  [default: virtual]"),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Inits and invocations that really execute at once.  [default: one a core]"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of request ids and environment ids.")] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="A web page's origin that may send requests; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start this directory's emulator, unless it runs already.

    Example: lab up && eval "$(lab status --env)" && aws lambda list-functions
    """
    from serverless_lab.emulator import control

    options = control.UpOptions(
        port=port,
        idle_lifetime_ms=None if idle_lifetime is None else idle_lifetime * 1000,
        account_concurrency=account_concurrency,
        seed=seed,
        clock=None if clock is None else clock.value,
        tokens=tokens,
        allowed_origins=tuple(allow_origin or ()),
    )
    project = Project()
    found, started = control.up(project, options)
    if not started:
        _check_same(options, found, project)
    if as_json:
        print_json({**found, "started": started})
        return
    verb = "started" if started else "runs already"
    say(f"emulator {verb}: http://127.0.0.1:{found['port']} (process {found['pid']})")


def down(as_json: AsJson = False) -> None:
    """Stop this directory's emulator. Its state is in memory and goes with it.

    Example: lab down
    """
    from serverless_lab.emulator import control

    stopped = control.down(Project())
    if as_json:
        print_json({"stopped": stopped})
    else:
        say("emulator stopped" if stopped else "no emulator was running here")


def status(
    as_json: AsJson = False,
    env: Annotated[
        bool, typer.Option("--env", help="Print shell lines that point the AWS CLI and SDKs at the emulator.")
    ] = False,
) -> None:
    """Say what runs here: emulator, environments, last deployment.

    Example: lab status --json
    """
    from serverless_lab.emulator import control

    project = Project()
    found = control.status(project)
    deployment = project.deployment_or_none()
    earlier = [other for other in project.earlier_deployments() if not _is_gone(other, found)]
    if env:
        if found is None:
            raise EmulatorError(f"no emulator runs for {project.directory}", hint="start it: `lab up`")
        for line in _shell_lines(found):
            typer.echo(line)
        return
    if as_json:
        last = None if deployment is None else deployment.to_json()
        print_json({"emulator": found, "deployment": last, "earlier": [other.to_json() for other in earlier]})
        return
    if found is None:
        typer.echo("emulator: not running (`lab up` starts it)")
    else:
        typer.echo(f"emulator: http://127.0.0.1:{found['port']}, process {found['pid']}, {_clock_words(found)}")
        for name, states in sorted(found["environments"].items()):
            counts = ", ".join(f"{count} {state}" for state, count in states.items() if count)
            typer.echo(f"  {name}: {counts or 'no environments'}")
    _tell_deployment(deployment, found)
    for other in reversed(earlier):
        name = other.stack_name
        is_there = deployment is not None and other.target == deployment.target
        which = name if is_there else f"{name} --target {other.target}"
        typer.echo(f"before it: stack {name} on {other.target} (`lab deploy --stack {which}`, `lab destroy {which}`)")


def _tell_deployment(deployment: Deployment | None, found: dict[str, Any] | None) -> None:
    if deployment is None:
        typer.echo("deployment: none (`lab deploy`)")
        return
    functions = f"{len(deployment.functions)} function{'' if len(deployment.functions) == 1 else 's'}"
    typer.echo(f"deployment: stack {deployment.stack_name} on {deployment.target}, {functions}")
    if deployment.api_url is not None:
        typer.echo(f"  API: {deployment.api_url}")
    if _is_gone(deployment, found):
        typer.echo("  it is gone: the emulator that held it has ended (`lab deploy` brings it back)")


def _is_gone(deployment: Deployment, found: dict[str, Any] | None) -> bool:
    """Whether the embedded emulator that held it is not the one that runs, if any does."""
    return deployment.target == "local" and (found is None or found["instance_id"] != deployment.instance_id)


def _check_same(wanted: UpOptions, found: dict[str, Any], project: Project) -> None:
    """Refuse options that the running emulator was not started with: they would be ignored without a word.

    Raises:
        EmulatorError: it has other options, or has been asked for one it does not tell.
    """
    told = {
        "--idle-lifetime": (wanted.idle_lifetime_ms, found["idle_lifetime_ms"]),
        "--account-concurrency": (wanted.account_concurrency, found["account_concurrency"]),
        "--clock": (wanted.clock, found["clock"]),
        "--tokens": (wanted.tokens, found.get("tokens")),
        "--seed": (wanted.seed, None),
        "--allow-origin": (wanted.allowed_origins or None, None),
    }
    other = [option for option, (value, has) in told.items() if value is not None and value != has]
    if other:
        raise EmulatorError(
            f"the emulator of {project.directory} runs already, and {', '.join(other)} is read when it starts",
            hint="stop it first, its state goes with it: `lab down`",
        )


def _clock_words(found: dict[str, Any]) -> str:
    from datetime import UTC, datetime

    if found["clock"] != "virtual":
        return f"{found['clock']} clock"
    now = datetime.fromtimestamp(found["now_ms"] / 1000, UTC).isoformat(sep=" ", timespec="seconds")
    jobs = found["jobs"]
    return f"virtual clock at {now[:19]} UTC, {jobs['running']} jobs running, {jobs['waiting']} waiting"


def _shell_lines(found: dict[str, Any]) -> list[str]:
    return [
        f"export AWS_ENDPOINT_URL=http://127.0.0.1:{found['port']}",
        "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1",
        "unset AWS_PROFILE AWS_SESSION_TOKEN",
    ]
