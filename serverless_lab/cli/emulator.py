"""`lab up`, `lab down`, `lab status`: the embedded emulator of this directory."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from serverless_lab.cli.options import AsJson, print_json, say
from serverless_lab.project import Project


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
    seed: Annotated[int | None, typer.Option(help="Seed of request ids and environment ids.")] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="A web page's origin that may send requests; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start the embedded emulator of this directory, unless it runs already.

    Example: lab up && eval "$(lab status --env)" && aws lambda list-functions
    """
    from serverless_lab.emulator import control

    options = control.UpOptions(
        port=port,
        idle_lifetime_ms=None if idle_lifetime is None else idle_lifetime * 1000,
        account_concurrency=account_concurrency,
        seed=seed,
        allowed_origins=tuple(allow_origin or ()),
    )
    found, started = control.up(Project(), options)
    if as_json:
        print_json({**found, "started": started})
        return
    verb = "started" if started else "runs already"
    say(f"emulator {verb}: http://127.0.0.1:{found['port']} (process {found['pid']})")


def down(as_json: AsJson = False) -> None:
    """Stop the embedded emulator of this directory. Its state is in memory and goes with it.

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
    """Say what runs here: the emulator, its environments, the last deployment.

    Example: lab status --json
    """
    from serverless_lab.emulator import control
    from serverless_lab.errors import EmulatorError

    project = Project()
    found = control.status(project)
    deployment = project.deployment_or_none()
    if env:
        if found is None:
            raise EmulatorError(f"no emulator runs for {project.directory}", hint="start it: `lab up`")
        for line in _shell_lines(found):
            typer.echo(line)
        return
    if as_json:
        print_json({"emulator": found, "deployment": None if deployment is None else deployment.to_json()})
        return
    if found is None:
        say("emulator: not running (`lab up` starts it)")
    else:
        say(f"emulator: http://127.0.0.1:{found['port']}, process {found['pid']}, clock {found['clock']}")
        for name, states in sorted(found["environments"].items()):
            counts = ", ".join(f"{count} {state}" for state, count in states.items() if count)
            say(f"  {name}: {counts or 'no environments'}")
    if deployment is None:
        say("deployment: none (`lab deploy`)")
        return
    say(f"deployment: stack {deployment.stack_name} on {deployment.target}, {len(deployment.functions)} functions")
    if deployment.api_url is not None:
        say(f"  API: {deployment.api_url}")
    if deployment.target == "local" and (found is None or found["instance_id"] != deployment.instance_id):
        say("  it is gone: the emulator that held it has ended (`lab deploy` brings it back)")


def _shell_lines(found: dict[str, Any]) -> list[str]:
    return [
        f"export AWS_ENDPOINT_URL=http://127.0.0.1:{found['port']}",
        "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1",
        "unset AWS_PROFILE AWS_SESSION_TOKEN",
    ]
