"""Remove a stack and everything that came with it: objects, logs, artifacts, and what an emulator forgets to delete."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from serverless_lab.deploy.artifacts import MISSING, ArtifactBucket, empty_bucket
from serverless_lab.deploy.events import (
    EventReader,
    OnEvent,
    Patience,
    describe_stack,
    patience_for,
    stack_resources,
)
from serverless_lab.deploy.half_made import with_names
from serverless_lab.errors import DeployError
from serverless_lab.targets.base import Target
from serverless_lab.targets.clients import error_code, errors_of

KEEPING_POLICIES = ("Retain", "RetainExceptOnCreate")
# SAM gives versions a DeletionPolicy of Retain, yet they go with their function.
GO_WITH_FUNCTION = ("AWS::Lambda::Version", "AWS::Lambda::Alias")
NOT_FOUND = MISSING | {
    "ResourceNotFoundException",
    "NotFoundException",
    "NoSuchEntity",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "ParameterNotFound",
    "NotFound",
}


@dataclass(frozen=True)
class Removal:
    """What was removed. `existed` is False where there was no such stack; `leftovers` are still there, and why."""

    stack_name: str
    existed: bool
    resources: int = 0
    objects: int = 0
    log_groups: int = 0
    artifacts: int = 0
    leftovers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def destroy_stack(
    target: Target,
    stack_name: str,
    *,
    on_event: OnEvent = lambda event: None,
    on_step: Callable[[str], None] = lambda step: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Removal:
    """Remove stack `stack_name`, the objects in its buckets, its functions' logs and its artifacts.

    Resources with a DeletionPolicy of Retain are kept with what is in them, and named in `leftovers`. Destroying what
    is not there is no error: `existed` says so.

    Raises:
        TargetError: the target cannot be reached, or refuses.
        DeployError: something could not be deleted; it says what and why.
    """
    with errors_of(target, "destroy again"):
        bucket = ArtifactBucket(target, target.account_id())
        on_step(f"deleting stack `{stack_name}`")
        removal = remove_stack(target, stack_name, on_event, patience_for(target, sleep))
        on_step(f"removing its artifacts from {bucket.name}")
        artifacts = bucket.remove_stack(stack_name)
    return Removal(**{**vars(removal), "artifacts": artifacts})


def remove_stack(target: Target, stack_name: str, on_event: OnEvent, patience: Patience) -> Removal:
    """Like `destroy_stack`, but its artifacts stay in the bucket."""
    cloudformation = target.client("cloudformation")
    stack = describe_stack(cloudformation, stack_name)
    if stack is None:
        return Removal(stack_name, existed=False)
    stack_id = stack["StackId"]
    resources = stack_resources(cloudformation, stack_id)
    template = _template(cloudformation, stack_id)
    if target.endpoint_url is not None:
        resources = with_names(target, stack, resources, template)
    kept = _kept(template)
    going = [resource for resource in resources if resource["LogicalResourceId"] not in kept]
    objects = _empty_buckets(target, going)
    reader = EventReader(cloudformation, stack_name, stack_id)
    _delete(cloudformation, stack_name, stack_id)
    status = reader.follow(on_event, patience)
    notes: list[str] = []
    if target.endpoint_url is None and status == "DELETE_FAILED":
        # What was in work when the buckets were emptied may have written since.
        late = _empty_buckets(target, going)
        if late:
            objects += late
            _delete(cloudformation, stack_name, stack_id)
            status = reader.follow(on_event, patience)
    if target.endpoint_url is not None:
        notes = _remove_forgotten(target, going)
        if status == "DELETE_FAILED":
            # LocalStack 4.8.1 fails on what is gone already; without its resources the stack can be deleted.
            cloudformation.delete_stack(StackName=stack_id)
            status = reader.follow(on_event, patience)
    if status != "DELETE_COMPLETE":
        cause = reader.first_failure()
        why = "no event says why" if cause is None else f"resource `{cause.logical_id}`: {cause.reason or cause.status}"
        raise DeployError(
            f"stack `{stack_name}` could not be deleted and is in {status}: {why}",
            hint="remove what holds it, then `lab destroy` again; to leave it behind instead: `aws cloudformation "
            f"delete-stack --stack-name {stack_name} --deletion-mode FORCE_DELETE_STACK`",
        )
    log_groups = _remove_log_groups(target, going)
    gone = {event.logical_id for event in reader.events if event.status == "DELETE_COMPLETE"}
    leftovers = []
    for resource in resources:
        if resource["LogicalResourceId"] in kept and resource["ResourceType"] not in GO_WITH_FUNCTION:
            what = f"{resource['ResourceType']} {resource.get('PhysicalResourceId') or resource['LogicalResourceId']}"
            if resource["LogicalResourceId"] in gone:
                # Seen on LocalStack 4.8.1.
                notes.append(f"{what} was deleted with all that was in it: {target.name} ignores its DeletionPolicy")
            else:
                leftovers.append(f"{what} (its DeletionPolicy keeps it)")
    return Removal(
        stack_name,
        existed=True,
        resources=len(resources) - len(leftovers),
        objects=objects,
        log_groups=log_groups,
        leftovers=tuple(leftovers),
        notes=tuple(notes),
    )


def _empty_buckets(target: Target, resources: list[dict[str, Any]]) -> int:
    """Remove everything in the stack's buckets; how many objects there were."""
    objects = 0
    for resource in resources:
        if resource["ResourceType"] == "AWS::S3::Bucket" and resource.get("PhysicalResourceId"):
            with _unless_missing():
                objects += empty_bucket(target.client("s3"), resource["PhysicalResourceId"])
    return objects


def _delete(cloudformation: Any, stack_name: str, stack_id: str) -> None:
    """Ask for the stack's deletion.

    Raises:
        DeployError: it is protected, or something else is changing it.
    """
    from botocore.exceptions import ClientError

    try:
        cloudformation.delete_stack(StackName=stack_id)
    except ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        message = error.response["Error"].get("Message", "")
        hint = "wait until nothing else changes it, then `lab destroy` again"
        if "TerminationProtection" in message:
            hint = (
                "when it shall go: `aws cloudformation update-termination-protection --no-enable-termination-protection"
                f" --stack-name {stack_name}`"
            )
        raise DeployError(f"stack `{stack_name}` cannot be deleted: {message}", hint=hint) from error


def _template(cloudformation: Any, stack_id: str) -> dict[str, Any]:
    """The stack's template after its transforms; an empty one where it cannot be read."""
    from botocore.exceptions import ClientError

    try:
        body = cloudformation.get_template(StackName=stack_id, TemplateStage="Processed")["TemplateBody"]
    except ClientError:
        return {}
    if isinstance(body, str):
        import json

        try:
            body = json.loads(body)
        except ValueError:
            return {}
    return body if isinstance(body, dict) else {}


def _kept(template: dict[str, Any]) -> set[str]:
    """The logical ids whose DeletionPolicy keeps them."""
    resources = template.get("Resources", {})
    return {name for name, resource in resources.items() if resource.get("DeletionPolicy") in KEEPING_POLICIES}


def _remove_log_groups(target: Target, resources: list[dict[str, Any]]) -> int:
    """Remove the groups that Lambda itself makes; a group of another name is the user's or the stack's own."""
    logs = target.client("logs")
    removed = 0
    for resource in resources:
        if resource["ResourceType"] == "AWS::Lambda::Function" and resource.get("PhysicalResourceId"):
            with _unless_missing():
                logs.delete_log_group(logGroupName=f"/aws/lambda/{resource['PhysicalResourceId']}")
                removed += 1
    return removed


def _remove_forgotten(target: Target, resources: list[dict[str, Any]]) -> list[str]:
    """Remove what the emulator left behind although its stack is gone; a sentence for each.

    LocalStack 4.8.1 deletes nothing of a stack whose creation or update failed.
    """
    notes = []
    order = {kind: position for position, kind in enumerate(REMOVERS)}
    known = [resource for resource in resources if resource["ResourceType"] in order]
    for resource in sorted(known, key=lambda item: order[item["ResourceType"]]):
        name = resource.get("PhysicalResourceId")
        if not name or name == "unknown":
            continue
        with _unless_missing():
            if REMOVERS[resource["ResourceType"]](target, name):
                notes.append(f"{resource['ResourceType']} {name} was left behind by {target.name}: removed it")
    return notes


def _mapping(target: Target, name: str) -> bool:
    found = target.client("lambda").get_event_source_mapping(UUID=name)
    if found.get("State") == "Deleting":
        return False
    target.client("lambda").delete_event_source_mapping(UUID=name)
    return True


def _function(target: Target, name: str) -> bool:
    target.client("lambda").get_function_configuration(FunctionName=name)
    # LocalStack 4.8.1 deletes a function in State Failed and answers 500; the next attempt does not find it any more.
    with _unless_missing():
        target.client("lambda").delete_function(FunctionName=name)
    return True


def _rest_api(target: Target, name: str) -> bool:
    target.client("apigateway").get_rest_api(restApiId=name)
    target.client("apigateway").delete_rest_api(restApiId=name)
    return True


def _rule(target: Target, name: str) -> bool:
    events = target.client("events")
    bus, _, rule = name.rpartition("|")
    where = {"EventBusName": bus} if bus else {}
    targets = [item["Id"] for item in events.list_targets_by_rule(Rule=rule, **where)["Targets"]]
    if targets:
        events.remove_targets(Rule=rule, Ids=targets, **where)
    events.describe_rule(Name=rule, **where)
    events.delete_rule(Name=rule, **where)
    return True


def _table(target: Target, name: str) -> bool:
    status = target.client("dynamodb").describe_table(TableName=name)["Table"]["TableStatus"]
    if status == "DELETING":
        return False
    target.client("dynamodb").delete_table(TableName=name)
    return True


def _queue(target: Target, name: str) -> bool:
    target.client("sqs").get_queue_attributes(QueueUrl=name)
    target.client("sqs").delete_queue(QueueUrl=name)
    return True


def _bucket(target: Target, name: str) -> bool:
    target.client("s3").head_bucket(Bucket=name)
    empty_bucket(target.client("s3"), name)
    target.client("s3").delete_bucket(Bucket=name)
    return True


def _role(target: Target, name: str) -> bool:
    iam = target.client("iam")
    iam.get_role(RoleName=name)
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    iam.delete_role(RoleName=name)
    return True


def _parameter(target: Target, name: str) -> bool:
    # Its name is fixed, so one that is left would be in the way of the next stack.
    target.client("ssm").delete_parameter(Name=name)
    return True


# In the order in which they let go of each other.
REMOVERS: dict[str, Callable[[Target, str], bool]] = {
    "AWS::Lambda::EventSourceMapping": _mapping,
    "AWS::Events::Rule": _rule,
    "AWS::ApiGateway::RestApi": _rest_api,
    "AWS::Lambda::Function": _function,
    "AWS::DynamoDB::Table": _table,
    "AWS::SQS::Queue": _queue,
    "AWS::S3::Bucket": _bucket,
    "AWS::IAM::Role": _role,
    "AWS::SSM::Parameter": _parameter,
}


@contextmanager
def _unless_missing() -> Iterator[None]:
    """What is gone already needs no removing."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if error_code(error) not in NOT_FOUND:
            raise
