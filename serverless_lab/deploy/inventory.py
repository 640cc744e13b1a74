"""The deployment as `lab` remembers it, read from the target itself; and whether it is still there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from serverless_lab.deploy.checks import IMAGE
from serverless_lab.deploy.events import describe_stack, stack_resources
from serverless_lab.deploy.wrapper import original_handler
from serverless_lab.errors import EmulatorError, NothingDeployed
from serverless_lab.project import DeployedFunction, Deployment
from serverless_lab.targets.base import Target
from serverless_lab.targets.clients import errors_of

STAGE_OF_SAM = "Stage"  # SAM makes this one beside the stage asked for, unless OpenApiVersion is set
HTTP_API_DEFAULT_STAGE = "$default"
REST, HTTP = "rest", "http"


def describe_deployment(
    target: Target,
    *,
    stack_name: str,
    template_path: Path,
    parameters: Mapping[str, str],
    now: datetime,
    artifact_bucket: str | None = None,
    notes: tuple[str, ...] = (),
) -> Deployment:
    """What stack `stack_name` has on `target`: functions, outputs, the URL of its API.

    The URL is made from the API's physical id, because an emulator's Outputs name AWS's hosts.

    Raises:
        NothingDeployed: there is no such stack.
        TargetError: the target cannot be reached.
    """
    with errors_of(target, "repeat"):
        cloudformation = target.client("cloudformation")
        stack = describe_stack(cloudformation, stack_name)
        if stack is None:
            raise NothingDeployed(
                f"there is no stack `{stack_name}` on {target.name}",
                hint=f"deploy it: `lab deploy --target {target.name}`",
            )
        resources = stack_resources(cloudformation, stack["StackId"])
        api_url, api_type = _api(target, resources)
        return Deployment(
            target=target.name,
            stack_name=stack_name,
            region=target.region,
            account_id=str(stack["StackId"]).split(":")[4],
            template=str(template_path),
            deployed_at=now.isoformat(timespec="seconds"),
            parameters=dict(parameters),
            outputs={output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
            functions=_functions(target, resources),
            api_url=api_url,
            api_type=api_type,
            endpoint_url=target.endpoint_url,
            instance_id=target.instance_id(),
            artifact_bucket=artifact_bucket,
            notes=notes,
        )


def require_deployment(target: Target | None, deployment: Deployment) -> None:
    """Make sure that `deployment` is still there.

    Args:
        target: where it was made, None when the embedded emulator is not running any more.

    Raises:
        NothingDeployed: it is gone, and how to get it back.
        TargetError: a target with a life of its own (localstack, aws) cannot be reached.
    """
    again = f"`lab deploy{'' if deployment.target == 'local' else f' --target {deployment.target}'}` brings it back"
    who = "the emulator" if deployment.target == "local" else f"the {deployment.target} target"
    stopped = NothingDeployed(
        f"{who} that held stack `{deployment.stack_name}` is not running any more; its state was in memory", hint=again
    )
    if target is None:
        raise stopped
    try:
        instance_id = target.instance_id()
    except EmulatorError as error:
        raise stopped from error
    if deployment.instance_id and instance_id and instance_id != deployment.instance_id:
        raise NothingDeployed(
            f"{who} that held stack `{deployment.stack_name}` was restarted; its state was in memory", hint=again
        )
    with errors_of(target, "repeat"):
        found = describe_stack(target.client("cloudformation"), deployment.stack_name)
    if found is None:
        why = "; an emulator's state is in memory" if deployment.endpoint_url else ""
        raise NothingDeployed(f"stack `{deployment.stack_name}` is not on {target.name} any more{why}", hint=again)


def deployment_is_gone(target: Target | None, deployment: Deployment) -> bool:
    """Whether `require_deployment` would refuse it."""
    try:
        require_deployment(target, deployment)
    except NothingDeployed:
        return True
    return False


def _functions(target: Target, resources: list[dict[str, Any]]) -> tuple[DeployedFunction, ...]:
    aliases = dict(
        _alias(item["PhysicalResourceId"])
        for item in resources
        if item["ResourceType"] == "AWS::Lambda::Alias" and ":" in (item.get("PhysicalResourceId") or "")
    )
    client = target.client("lambda")
    functions = []
    for resource in resources:
        if resource["ResourceType"] != "AWS::Lambda::Function":
            continue
        name = resource["PhysicalResourceId"]
        found = client.get_function_configuration(FunctionName=name)
        functions.append(
            DeployedFunction(
                logical_id=resource["LogicalResourceId"],
                name=name,
                log_group=(found.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}",
                memory_size_mb=int(found.get("MemorySize", 128)),
                timeout_s=int(found.get("Timeout", 3)),
                runtime=found.get("Runtime") or IMAGE,
                architecture=(found.get("Architectures") or ["x86_64"])[0],
                alias=aliases.get(name),
                provisioned_environments=_provisioned(client, name, aliases.get(name)),
                handler=found.get("Handler"),
                wrapped_handler=original_handler(found),
            )
        )
    return tuple(sorted(functions, key=lambda function: function.logical_id))


def _provisioned(client: Any, name: str, alias: str | None) -> int:
    """How many environments provisioned concurrency keeps; 0 too where the target does not know of such a thing."""
    from botocore.exceptions import ClientError

    if alias is None:
        return 0
    try:
        found = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=alias)
    except ClientError:
        return 0
    return int(found.get("RequestedProvisionedConcurrentExecutions") or 0)


def _alias(arn: str) -> tuple[str, str]:
    """The function's name and the alias's, from `arn:aws:lambda:REGION:ACCOUNT:function:NAME:ALIAS`."""
    parts = arn.split(":")
    return parts[-2], parts[-1]


def _api(target: Target, resources: list[dict[str, Any]]) -> tuple[str | None, str | None]:
    """The URL of the stack's first API, in the template's order of resources, and its type; None when it has none."""
    stages = {item["PhysicalResourceId"] for item in resources if item["ResourceType"].endswith("::Stage")}
    for resource in resources:
        if resource["ResourceType"] == "AWS::ApiGateway::RestApi":
            api = resource["PhysicalResourceId"]
            items = target.client("apigateway").get_stages(restApiId=api)["item"]
            stage = _stage([item["stageName"] for item in items], stages)
            if stage is not None:
                return target.api_url(api, stage), REST
    for resource in resources:
        if resource["ResourceType"] == "AWS::ApiGatewayV2::Api" and resource["PhysicalResourceId"] != "unknown":
            api = resource["PhysicalResourceId"]
            items = target.client("apigatewayv2").get_stages(ApiId=api)["Items"]
            stage = _stage([item["StageName"] for item in items], stages)
            if stage is not None:
                url = target.api_url(api, stage)
                # AWS serves the default stage of an HTTP API without a path of its own.
                on_aws = target.endpoint_url is None
                return url.removesuffix(f"/{stage}") if on_aws and stage == HTTP_API_DEFAULT_STAGE else url, HTTP
    return None, None


def _stage(there: list[str], of_stack: set[str]) -> str | None:
    """The stage to use: one that is a resource of the stack, else any but the one SAM adds, else that."""
    return min(there, key=lambda name: (name not in of_stack, name == STAGE_OF_SAM, name), default=None)
