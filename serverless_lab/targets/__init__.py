"""Where a stack runs, behind one seam.

    base         Target protocol and Capabilities; the two response headers
    local        the embedded emulator of this directory
    localstack   LocalStack, a standalone MiniStack, anything that answers AWS's APIs at one endpoint
    aws          the user's own account
    clients      boto3 sessions and clients: emulator credentials, time limits, errors a user can act on

`resolve_target("localstack")` gives a `Target`. Nothing is contacted before its first client is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from serverless_lab.errors import BadInput, EmulatorError
from serverless_lab.targets.base import Capabilities, Target

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TARGET_NAMES", "Capabilities", "Target", "resolve_target"]

TARGET_NAMES = ("local", "localstack", "aws")


def resolve_target(
    name: str,
    *,
    local_endpoint: str | None = None,
    profile: str | None = None,
    region: str | None = None,
    environment: Mapping[str, str] | None = None,
    emulator_log: Path | None = None,
) -> Target:
    """The target called `name`.

    Args:
        local_endpoint: the running embedded emulator's URL; only `local` needs it.
        profile: a profile of the user's AWS configuration; `localstack` reads its endpoint_url and region alone.
        region: overrides the target's own; `local` has one region and refuses another.
        environment: the process environment unless a test hands in its own.
        emulator_log: named in hints when the embedded emulator does not answer.

    Raises:
        BadInput: no target has this name, or it does not take the option.
        TargetError: it is not configured so that it could be reached.
    """
    environment = os.environ if environment is None else environment
    if name not in TARGET_NAMES:
        raise BadInput(f"no target `{name}`", hint="targets: " + ", ".join(TARGET_NAMES))
    if profile is not None and name == "local":
        raise BadInput(f"target `{name}` takes no AWS profile", hint="leave it out, or say --target aws or localstack")
    if name == "local":
        from serverless_lab.targets.local import REGION, LocalTarget

        if region not in (None, REGION):
            raise BadInput(f"the local target has one region, {REGION}, not {region}", hint="leave the region out")
        if local_endpoint is None:
            raise EmulatorError("the emulator of this directory is not running", hint="start it with `lab up`")
        return LocalTarget(local_endpoint, log=emulator_log)
    if name == "localstack":
        return _localstack(environment, profile, region)
    from serverless_lab.targets.aws import AwsTarget

    return AwsTarget(profile=profile, region=region, environment=environment)


def _localstack(environment: Mapping[str, str], profile: str | None, region: str | None) -> Target:
    from serverless_lab.targets import localstack

    settings = localstack.profile_settings(profile, environment)
    if profile is not None and not settings.get("endpoint_url"):
        raise BadInput(
            f"profile `{profile}` has no endpoint_url, so it is none of LocalStack's",
            hint="leave it out, or say where LocalStack is: AWS_ENDPOINT_URL=http://localhost:4566",
        )
    if not settings.get("endpoint_url"):
        settings = {}  # a profile of AWS's, whose region means nothing here
    return localstack.LocalStackTarget(
        localstack.localstack_endpoint(environment, settings),
        region=region
        or environment.get("AWS_REGION")
        or environment.get("AWS_DEFAULT_REGION")
        or settings.get("region")
        or "us-east-1",
        account=localstack.emulated_account(environment),
    )
