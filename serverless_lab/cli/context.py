"""What most commands begin with: the target, the deployment, and whether it is still there."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from serverless_lab.errors import BadInput
from serverless_lab.project import Deployment, Project

if TYPE_CHECKING:
    from serverless_lab.targets.base import Target

STACK_NAME_MAX = 48  # the bundled stack puts function names behind it, and those may have 64 characters


def open_target(
    project: Project, name: str, last: Deployment | None, *, region: str | None = None, profile: str | None = None
) -> Target:
    """The target called `name`, to deploy to; the embedded emulator is started when it is not running.

    Args:
        last: the last deployment when it was made on this target: the address is the same unless one is set.
    """
    from serverless_lab.targets import resolve_target

    if name != "local":
        named = any(os.environ.get(variable) for variable in ("AWS_ENDPOINT_URL", "LOCALSTACK_HOST"))
        environment = os.environ if named or last is None else _environment(last)
        return resolve_target(name, region=region, profile=profile, environment=environment)
    from serverless_lab.cli.options import say
    from serverless_lab.emulator import control

    # What the target does not take is refused before anything is started for it.
    resolve_target("local", local_endpoint="http://127.0.0.1", region=region, profile=profile)
    found, started = control.up(project)
    if started:
        say(f"emulator started: http://127.0.0.1:{found['port']}")
    return resolve_target(
        "local",
        local_endpoint=f"http://127.0.0.1:{found['port']}",
        region=region,
        emulator_log=project.emulator_log,
    )


def embedded_instance(project: Project) -> str | None:
    """Which lifetime of the embedded emulator is running; None when none is."""
    from serverless_lab.emulator import control

    found = control.status(project)
    return None if found is None else str(found["instance_id"])


def target_of(project: Project, deployment: Deployment, *, profile: str | None = None) -> Target | None:
    """Where `deployment` was made; None when the embedded emulator is not running.

    That is the address and the account it was made at, whatever the environment says today: a stack of the same name
    may be somewhere else too.

    Raises:
        BadInput: the credentials are those of another account.
    """
    from serverless_lab.targets import resolve_target

    if deployment.target != "local":
        target = resolve_target(
            deployment.target, region=deployment.region, profile=profile, environment=_environment(deployment)
        )
        if deployment.target == "aws":
            check_account(deployment, target.account_id())
        return target
    from serverless_lab.emulator import control

    found = control.status(project)
    if found is None:
        return None
    return resolve_target(
        "local",
        local_endpoint=f"http://127.0.0.1:{found['port']}",
        profile=profile,
        emulator_log=project.emulator_log,
    )


def _environment(deployment: Deployment) -> dict[str, str]:
    """The process environment, with the address and the account of the emulator that `deployment` was made on."""
    if deployment.endpoint_url is None:
        return dict(os.environ)
    # An emulator takes an access key of twelve digits for the account.
    found = {"AWS_ENDPOINT_URL": deployment.endpoint_url, "AWS_ACCESS_KEY_ID": deployment.account_id}
    return {**os.environ, **found}


def check_account(deployment: Deployment, account_id: str) -> None:
    """Raises BadInput when `account_id` is not the one that has `deployment`."""
    if account_id != deployment.account_id:
        raise BadInput(
            f"stack `{deployment.stack_name}` is in account {deployment.account_id}, and these are credentials of "
            f"{account_id}",
            hint="name the right --profile",
        )


def living_deployment(project: Project, *, profile: str | None = None) -> tuple[Deployment, Target]:
    """The last deployment and its target.

    Raises:
        NothingDeployed: there is none, or it is gone; the hint says how to get it back.
    """
    from serverless_lab.deploy.inventory import require_deployment

    deployment = project.deployment()
    target = target_of(project, deployment, profile=profile)
    require_deployment(target, deployment)
    assert target is not None
    return deployment, target


def default_stack_name(project: Project) -> str:
    """`lab-` and the working directory's name, in the characters CloudFormation allows."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", project.directory.name).strip("-")
    return f"lab-{name}"[:STACK_NAME_MAX].rstrip("-") if name else "lab"
