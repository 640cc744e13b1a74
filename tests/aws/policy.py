"""As much of IAM as a policy with `Allow` statements and wildcards needs."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from serverless_lab.targets.permissions import Resource, call
from tests.aws.hooks import Request


def allowed(policy: dict[str, Any], action: str, arn: str) -> bool:
    """Whether a statement allows `action` on `arn`. A statement's condition is taken to hold."""
    return any(
        any(fnmatchcase(action.lower(), pattern.lower()) for pattern in statement["Action"])
        and fnmatchcase(arn, statement["Resource"])
        for statement in policy["Statement"]
    )


def refused(policy: dict[str, Any], request: Request, account: str, region: str) -> list[str]:
    """What of `request` the policy does not allow; a call that the table does not have is not allowed."""
    known = call(request.service, request.operation)
    if known is None:
        return [f"{request.name} is not in serverless_lab/targets/permissions.py"]
    arn = arn_of(request, known.resource, known.parameter, account, region)
    return [f"{request.name}: {action} on {arn}" for action in known.actions if not allowed(policy, action, arn)]


def arn_of(request: Request, resource: Resource, parameter: str | None, account: str, region: str) -> str:
    if parameter is None:
        return resource.arn(region=region, account=account)
    name = str(request.parameters[parameter])
    if resource in (Resource.REST_API, Resource.HTTP_API):
        name = f"/{name}/stages"
    return resource.arn(name, region=region, account=account)
