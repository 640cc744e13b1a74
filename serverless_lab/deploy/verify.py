"""What the target really has, against what the template asked for.

Emulators take some properties and do nothing with them: a table's TimeToLiveSpecification, reserved concurrency, a
resource type they do not know. A measurement on such a stack would be believed. So each check looks at the service
itself; on an emulator a difference is mended where a call can mend it, on AWS it is only told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serverless_lab.deploy.events import Patience, patience_for, stack_resources
from serverless_lab.deploy.intrinsics import Scope, Special, as_text, condition_holds, evaluate
from serverless_lab.deploy.template import LAMBDA_FUNCTION, SAM_FUNCTION, Template, read_template
from serverless_lab.deploy.wrapper import original_handler
from serverless_lab.errors import DeployError
from serverless_lab.targets.base import Target
from serverless_lab.targets.clients import error_code, errors_of

SCHEDULE = "AWS::Scheduler::Schedule"  # SAM's ScheduleV2
UNKNOWN_PHYSICAL_ID = "unknown"  # what LocalStack 4.8.1 gives a resource of a type it does not know
SCALARS = (str, int, float, bool)


def verify_stack(
    target: Target,
    *,
    template_path: Path,
    stack_name: str,
    parameters: Mapping[str, str],
    on_step: Callable[[str], None] = lambda step: None,
    patience: Patience | None = None,
) -> tuple[str, ...]:
    """A sentence for each difference found, with what was done about it. Nothing is said of what is in order.

    Args:
        parameters: every parameter's value, as `DeployResult.parameters` has them.
    """
    template = read_template(template_path)
    on_step(f"checking what {target.name} made of it")
    with errors_of(target, "deploy again"):
        resources = stack_resources(target.client("cloudformation"), stack_name)
        check = _Check(
            target=target,
            template=template,
            scope=template.scope(parameters, {"AWS::Region": target.region, "AWS::StackName": stack_name}),
            physical={item["LogicalResourceId"]: item.get("PhysicalResourceId") or "" for item in resources},
            repairs=target.endpoint_url is not None,
            patience=patience or patience_for(target),
        )
        found = [*_unsupported(target, resources)]
        for logical_id in template.of_type("AWS::DynamoDB::Table"):
            if check.is_there(logical_id):
                found += _time_to_live(check, logical_id)
                found += _stream(check, logical_id)
        for logical_id in template.of_type(SAM_FUNCTION, LAMBDA_FUNCTION):
            if check.is_there(logical_id):
                found += _function(check, logical_id)
        found += _event_source_mappings(check, resources)
    return tuple(found)


@dataclass(frozen=True)
class _Check:
    target: Target
    template: Template
    scope: Scope
    physical: Mapping[str, str]
    repairs: bool
    patience: Patience

    def is_there(self, logical_id: str) -> bool:
        condition = self.template.resources[logical_id].get("Condition")
        wanted = condition is None or condition_holds(condition, self.scope) is not False
        return wanted and self.physical.get(logical_id, "") not in ("", UNKNOWN_PHYSICAL_ID)

    def wanted(self, logical_id: str, name: str) -> Any:
        """The property's value as far as the template tells it; None where it is not given."""
        value = evaluate(self.template.properties(logical_id).get(name), self.scope)
        return None if isinstance(value, Special) else value


def _unsupported(target: Target, resources: list[dict[str, Any]]) -> Iterator[str]:
    for resource in resources:
        if resource.get("PhysicalResourceId") == UNKNOWN_PHYSICAL_ID:
            yield (
                f"`{resource['LogicalResourceId']}`: {target.name} does not support {resource['ResourceType']}: "
                "it says CREATE_COMPLETE and made nothing"
            )
        elif resource["ResourceType"] == SCHEDULE and not target.capabilities.fires_scheduler_schedules:
            yield (
                f"`{resource['LogicalResourceId']}`: {target.name} makes the schedule and never fires it; "
                "an AWS::Events::Rule (SAM's `Schedule`) works there"
            )


def _time_to_live(check: _Check, logical_id: str) -> Iterator[str]:
    wanted = check.wanted(logical_id, "TimeToLiveSpecification")
    if not isinstance(wanted, dict) or as_text(wanted.get("Enabled")) != "true":
        return
    attribute = wanted.get("AttributeName")
    table = check.physical[logical_id]
    dynamodb = check.target.client("dynamodb")
    found = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    if found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING") or not isinstance(attribute, str):
        return
    note = f"`{logical_id}`: time to live is not enabled on {check.target.name}"
    if check.repairs:
        dynamodb.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
        )
        note += f": enabled it on {attribute}"
    yield note


def _stream(check: _Check, logical_id: str) -> Iterator[str]:
    if not isinstance(check.wanted(logical_id, "StreamSpecification"), dict):
        return
    found = check.target.client("dynamodb").describe_table(TableName=check.physical[logical_id])["Table"]
    if not found.get("StreamSpecification", {}).get("StreamEnabled"):
        yield f"`{logical_id}`: {check.target.name} did not enable its stream, so nothing reads it"


def _function(check: _Check, logical_id: str) -> Iterator[str]:
    name = check.physical[logical_id]
    client = check.target.client("lambda")
    alias = check.wanted(logical_id, "AutoPublishAlias")
    qualifier: dict[str, str] = {}
    if isinstance(alias, str):
        version = _alias_version(client, name, alias)
        if version is None:
            yield f"`{logical_id}`: alias {alias} does not exist on {check.target.name}, so its events reach nothing"
            return
        qualifier = {"Qualifier": version}  # not the alias: LocalStack 4.8.1 knows no configuration of one
    found = client.get_function_configuration(FunctionName=name, **qualifier)
    if found.get("Layers") and not check.target.capabilities.applies_layers:
        yield (
            f"`{logical_id}`: {check.target.name} without a licence does not put layers into functions: nothing of "
            f"{', '.join(layer['Arn'].split(':')[-2] for layer in found['Layers'])} is there when it runs"
        )
    for title, wanted, actual in _settings(check, logical_id, found):
        if wanted != actual:
            yield f"`{logical_id}`: {title} is {actual} on {check.target.name}, and the template says {wanted}"
    if isinstance(alias, str):
        yield from _provisioned_concurrency(check, logical_id, name, alias)
    reserved = _whole(check.wanted(logical_id, "ReservedConcurrentExecutions"))
    if reserved is not None:
        actual = client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
        if actual != reserved:
            note = (
                f"`{logical_id}`: reserved concurrency is {actual} on {check.target.name}, the template says {reserved}"
            )
            if check.repairs:
                client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
                note += ": set it"
            yield note


def _settings(check: _Check, logical_id: str, found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Settings that are certain on both sides: title, the template's value, the target's."""
    found = {**found, "Handler": original_handler(found) or found.get("Handler")}
    for name in ("Runtime", "Handler", "MemorySize", "Timeout"):
        wanted = check.wanted(logical_id, name)
        if isinstance(wanted, SCALARS) and found.get(name) is not None:
            yield name, as_text(wanted), as_text(found[name])
    architectures = check.wanted(logical_id, "Architectures")
    if isinstance(architectures, list) and found.get("Architectures"):
        yield "Architectures", ", ".join(map(str, architectures)), ", ".join(found["Architectures"])
    variables = (check.wanted(logical_id, "Environment") or {}).get("Variables")
    actual = found.get("Environment", {}).get("Variables", {})
    for name, wanted in variables.items() if isinstance(variables, dict) else ():
        # Where a CDK app's asset is, lab has decided.
        if isinstance(wanted, SCALARS) and not check.template.assembly.mentioned(wanted):
            yield f"environment variable {name}", as_text(wanted), str(actual.get(name, "not set"))


def _provisioned_concurrency(check: _Check, logical_id: str, name: str, alias: str) -> Iterator[str]:
    from botocore.exceptions import ClientError

    config = evaluate(check.template.properties(logical_id).get("ProvisionedConcurrencyConfig"), check.scope)
    if config is Special.UNKNOWN:
        return
    wanted = _whole(config.get("ProvisionedConcurrentExecutions")) if isinstance(config, dict) else 0
    if wanted is None:
        return
    client = check.target.client("lambda")
    where = {"FunctionName": name, "Qualifier": alias}
    try:
        actual = client.get_provisioned_concurrency_config(**where)["RequestedProvisionedConcurrentExecutions"]
    except ClientError as error:
        if error_code(error) != "ProvisionedConcurrencyConfigNotFoundException":
            raise
        actual = 0
    if actual != wanted:
        note = f"`{logical_id}`: provisioned concurrency is {actual} on {check.target.name}, the template says {wanted}"
        if check.repairs and wanted:
            client.put_provisioned_concurrency_config(**where, ProvisionedConcurrentExecutions=wanted)
            note += ": set it"
        elif check.repairs:
            client.delete_provisioned_concurrency_config(**where)
            note += ": removed it"
        yield note
    if wanted and not check.target.capabilities.keeps_provisioned_concurrency:
        # Seen on MiniStack 1.5.33 alone: the configuration reads READY, and the first invoke is cold.
        yield (
            f"`{logical_id}`: {check.target.name} records provisioned concurrency and keeps no environment ready "
            "for it: its reports show cold starts that AWS would not have"
        )
    elif wanted:
        yield from _wait_until_ready(check, logical_id, where)


def _wait_until_ready(check: _Check, logical_id: str, where: Mapping[str, str]) -> Iterator[str]:
    """LocalStack 4.8.1 answers 500 while environments are being made; AWS serves cold starts meanwhile."""
    client = check.target.client("lambda")
    try:
        for _ in check.patience.looks(f"provisioned concurrency of `{logical_id}`"):
            found = client.get_provisioned_concurrency_config(**where)
            if found["Status"] != "IN_PROGRESS":
                break
    except DeployError as error:
        yield f"`{logical_id}`: {error.message}; it may not be ready yet"
        return
    if found["Status"] != "READY":
        yield f"`{logical_id}`: provisioned concurrency is {found['Status']}: {found.get('StatusReason', 'no reason')}"


def _event_source_mappings(check: _Check, resources: list[dict[str, Any]]) -> Iterator[str]:
    """Mappings that are off although the template does not turn them off."""
    client = check.target.client("lambda")
    off = _turned_off(check)
    for resource in resources:
        logical_id = resource["LogicalResourceId"]
        if resource["ResourceType"] != "AWS::Lambda::EventSourceMapping" or logical_id in off:
            continue
        found = client.get_event_source_mapping(UUID=resource["PhysicalResourceId"])
        if found["State"] in ("Disabled", "Disabling"):
            note = f"`{logical_id}`: its event source mapping is {found['State']} on {check.target.name}"
            if check.repairs:
                client.update_event_source_mapping(UUID=resource["PhysicalResourceId"], Enabled=True)
                note += ": enabled it"
            yield note


def _turned_off(check: _Check) -> set[str]:
    """Logical ids of mappings with Enabled: false, or with an Enabled that only the target can tell."""
    off = set()
    for logical_id, resource in check.template.of_type("AWS::Lambda::EventSourceMapping").items():
        if _may_be_off(evaluate((resource.get("Properties") or {}).get("Enabled", True), check.scope)):
            off.add(logical_id)
    for logical_id in check.template.of_type(SAM_FUNCTION):
        events = check.template.properties(logical_id).get("Events")
        for name, event in events.items() if isinstance(events, dict) else ():
            properties = event.get("Properties") if isinstance(event, dict) else None
            if isinstance(properties, dict) and _may_be_off(evaluate(properties.get("Enabled", True), check.scope)):
                off.add(f"{logical_id}{name}")  # the id SAM gives the mapping
    return off


def _may_be_off(enabled: Any) -> bool:
    return not isinstance(enabled, SCALARS) or as_text(enabled) != "true"


def _alias_version(client: Any, function: str, alias: str) -> str | None:
    """The version that the alias names; None where there is no such alias."""
    from botocore.exceptions import ClientError

    try:
        return str(client.get_alias(FunctionName=function, Name=alias)["FunctionVersion"])
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":
            return None
        raise


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
