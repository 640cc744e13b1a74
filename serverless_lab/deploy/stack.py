"""Create or update one CloudFormation stack through a change set: the same steps on every target."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from serverless_lab.deploy.artifacts import TAGS, ArtifactBucket
from serverless_lab.deploy.destroy import remove_stack
from serverless_lab.deploy.events import (
    STACK_TYPE,
    EventReader,
    OnEvent,
    Patience,
    describe_stack,
    patience_for,
    stack_resources,
)
from serverless_lab.deploy.half_made import remove_half_made
from serverless_lab.deploy.packaging import package
from serverless_lab.deploy.property_names import unknown_properties
from serverless_lab.deploy.template import Artifact, Template, read_template
from serverless_lab.deploy.transform import apply_sam, wants_sam, without_absent
from serverless_lab.deploy.wrapper import Wrapping, plan, wants_wrapper
from serverless_lab.errors import DeployError, TemplateRefused
from serverless_lab.quotas import TEMPLATE_BODY_MAX_BYTES, TEMPLATE_IN_BUCKET_MAX_BYTES
from serverless_lab.targets.base import Target
from serverless_lab.targets.clients import errors_of

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
UPDATABLE = frozenset(
    {
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    }
)
# A stack that never was complete cannot be updated, only deleted.
# documented: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html (ROLLBACK_COMPLETE)
NEVER_COMPLETE = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"})
# Why a stack at rest cannot be updated, and what can be done before it is deleted. documented:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-continueupdaterollback.html
STUCK = {
    "UPDATE_ROLLBACK_FAILED": (
        ": its last rollback failed",
        "mend what its events name, then `aws cloudformation continue-update-rollback --stack-name {}`; or ",
    ),
    "DELETE_FAILED": (": it could not be deleted the last time", ""),
}
NO_ENVIRONMENT = "Error while creating lambda"
"""How LocalStack 4.8.1 begins to say that a function's environment cannot start, mostly for want of Docker."""
SUCCEEDED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")

OnStep = Callable[[str], None]


class Action(Enum):
    CREATED = "created"
    UPDATED = "updated"
    RECREATED = "recreated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class DeployResult:
    """What became of the stack. `notes` are sentences a user should read; `parameters` are all, with their values."""

    stack_name: str
    stack_id: str
    action: Action
    parameters: dict[str, str]
    outputs: dict[str, str]
    artifact_bucket: str
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return self.action is not Action.UNCHANGED


def deploy_stack(
    target: Target,
    *,
    template_path: Path,
    stack_name: str,
    parameters: Mapping[str, str],
    build_directory: Path,
    wrap: bool | None = None,
    on_event: OnEvent = lambda event: None,
    on_step: OnStep = lambda step: None,
    sleep: Callable[[float], None] = time.sleep,
) -> DeployResult:
    """Package the template's code and bring stack `stack_name` to what the template says.

    Args:
        parameters: those that shall differ from the template's defaults; what an earlier deployment said is forgotten.
        build_directory: where zips are kept between deployments.
        wrap: whether functions begin with a module that tells of their init; None leaves it to what the target tells.
        on_event: called with every event of the stack, once each, in order.
        on_step: called with a short sentence when a step begins.

    Raises:
        TemplateError: the template or a parameter, before anything is contacted.
        PackagingError: a zip could not be built, likewise.
        TargetError: the target cannot be reached or refuses.
        DeployError: the stack could not be changed; it says which resource and why, and how the stack was left.
    """
    template = read_template(template_path)
    values = template.parameter_values(parameters)
    artifacts = template.artifacts(values)
    wrapping = _wrapping(target, template, artifacts, wrap)
    on_step(f"packaging {len(artifacts)} of {template.path.name}'s resources")
    packages = {
        artifact.logical_id: package(artifact, build_directory, wrapping.files.get(artifact.logical_id))
        for artifact in artifacts
    }
    notes = [note for built in packages.values() for note in built.notes] + [*wrapping.notes]
    if target.endpoint_url is not None:
        notes += [found.note() for found in unknown_properties(template.resources)]
    with errors_of(target, "deploy again"):
        deployer = _Deployer(target, stack_name, on_event, on_step, patience_for(target, sleep))
        notes += deployer.elsewhere(template)
        on_step(f"uploading to {deployer.bucket.name}")
        deployer.bucket.ensure()
        locations = {name: deployer.bucket.upload(built, stack_name) for name, built in packages.items()}
        document = template.packaged(locations, values)
        wrapping.apply(document, template)
        return deployer.deploy(template, document, values, notes)


def _wrapping(target: Target, template: Template, artifacts: tuple[Artifact, ...], wrap: bool | None) -> Wrapping:
    # A target that has to be asked what it is may be out of reach: that error is told as every other is.
    with errors_of(target, "deploy again"):
        if not wants_wrapper(target.capabilities, wrap):
            return Wrapping({}, False)
        return plan(template, artifacts, tells_all=not target.capabilities.one_log_stream_per_environment)


class _Deployer:
    def __init__(self, target: Target, stack_name: str, on_event: OnEvent, on_step: OnStep, patience: Patience) -> None:
        self._target = target
        self._cloudformation = target.client("cloudformation")
        self._stack_name = stack_name
        self._on_event = on_event
        self._on_step = on_step
        self._patience = patience
        self._account_id = target.account_id()
        self.bucket = ArtifactBucket(target, self._account_id)

    def deploy(
        self, template: Template, document: dict[str, Any], values: Mapping[str, str], notes: list[str]
    ) -> DeployResult:
        status = self._settled_status(notes)
        if not self._target.capabilities.skips_absent_resources:
            pseudo = {"AWS::Region": self._target.region, "AWS::StackName": self._stack_name}
            document = without_absent(document, template.scope(values, pseudo))
        request = self._request(document, values)
        action = Action.CREATED if status is None else Action.UPDATED
        kind = "CREATE" if status is None else "UPDATE"
        try:
            change_set, stack_id = self._change_set(request, kind)
        except TemplateRefused as refusal:
            request = self._request(self._transformed(document, values, refusal), values)
            change_set, stack_id = self._change_set(request, kind)
        if change_set is None:
            return self._result(stack_id, Action.UNCHANGED, values, notes)
        if status is not None and not self._target.capabilities.updates_functions_in_place:
            self._cloudformation.delete_change_set(ChangeSetName=change_set, StackName=stack_id)
            self._on_step(f"deleting stack `{self._stack_name}`, which this target cannot update")
            self._delete(notes)
            notes.append("this target cannot update functions in place: the stack was deleted and created again")
            action = Action.RECREATED
            change_set, stack_id = self._change_set(request, "CREATE")
        assert change_set is not None
        try:
            self._execute(change_set, stack_id, action)
        except DeployError:
            self._tidy_up(stack_id, document)
            raise
        return self._result(stack_id, action, values, notes)

    def elsewhere(self, template: Template) -> list[str]:
        """A note when a CDK app was synthesised for another account or region: what it looked up there may differ.

        Raises:
            DeployError: it would go to the wrong place of an AWS account.
        """
        mismatch = template.assembly.mismatch(self._account_id, self._target.region)
        if mismatch is None:
            return []
        if self._target.endpoint_url is None:
            raise DeployError(mismatch, hint="name that --region and --profile, or synthesise it for this one")
        return [mismatch]

    def _settled_status(self, notes: list[str]) -> str | None:
        """The status of a stack that can be updated, or None where one has to be created."""
        stack = describe_stack(self._cloudformation, self._stack_name)
        status = None if stack is None else str(stack["StackStatus"])
        if status is None or status == "REVIEW_IN_PROGRESS" or status in UPDATABLE:
            return None if status == "REVIEW_IN_PROGRESS" else status
        if status in NEVER_COMPLETE:
            notes.append(f"stack `{self._stack_name}` was left in {status} by a failed creation: deleted it first")
            self._on_step(f"deleting stack `{self._stack_name}`, left in {status}")
            self._delete(notes)
            return None
        if status == "DELETE_IN_PROGRESS":
            assert stack is not None
            self._on_step(f"waiting for the deletion of stack `{self._stack_name}`")
            reader = EventReader(self._cloudformation, self._stack_name, stack["StackId"])
            reader.follow(self._on_event, self._patience)
            return self._settled_status(notes)
        if status.endswith("_IN_PROGRESS"):
            raise DeployError(
                f"stack `{self._stack_name}` is in {status}: something else is changing it",
                hint="wait until that is done, then deploy again",
            )
        why, way_out = STUCK.get(status, ("", ""))
        destroy = f"delete it with `lab destroy {self._stack_name}`, then deploy again"
        raise DeployError(
            f"stack `{self._stack_name}` is in {status} and cannot be updated{why}",
            hint=way_out.format(self._stack_name) + destroy,
        )

    def _transformed(self, document: dict[str, Any], values: Mapping[str, str], why: TemplateRefused) -> dict[str, Any]:
        """The template after the SAM transform, for an emulator that refuses it as it is; else the refusal stands."""
        if self._target.endpoint_url is None or not wants_sam(document):
            raise why
        self._on_step(f"applying the SAM transform here, since {self._target.name} refuses the template as it is")
        return apply_sam(document, values, self._target.session())

    def _delete(self, notes: list[str]) -> None:
        notes += remove_stack(self._target, self._stack_name, self._on_event, self._patience).notes

    def _request(self, document: dict[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
        declared = document.get("Parameters") or {}
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        size_bytes = len(text.encode())
        if size_bytes > TEMPLATE_IN_BUCKET_MAX_BYTES:
            raise DeployError(
                f"the packaged template has {size_bytes} bytes, and CloudFormation takes "
                f"{TEMPLATE_IN_BUCKET_MAX_BYTES}",
                hint="split it into more than one stack",
            )
        if size_bytes > TEMPLATE_BODY_MAX_BYTES:
            body = {"TemplateURL": self.bucket.upload_text(text, self._stack_name, "template.json")}
        else:
            body = {"TemplateBody": text}
        return {
            **body,
            "StackName": self._stack_name,
            "Parameters": [
                {"ParameterKey": name, "ParameterValue": value} for name, value in values.items() if name in declared
            ],
            "Capabilities": CAPABILITIES,
            "Tags": TAGS,
        }

    def _change_set(self, request: dict[str, Any], kind: str) -> tuple[str | None, str]:
        """The id of a change set ready to execute (None: nothing to change), and the stack's id."""
        from botocore.exceptions import ClientError, ParamValidationError

        self._on_step(f"asking {self._target.name} what would change")
        try:
            answer = self._cloudformation.create_change_set(
                **request, ChangeSetName=f"lab-{uuid.uuid4().hex}", ChangeSetType=kind
            )
        except ParamValidationError as error:
            raise DeployError(f"`{self._stack_name}` cannot be a stack: {error}", hint="choose another name") from error
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ValidationError", "InsufficientCapabilitiesException"):
                raise
            message = error.response["Error"].get("Message", "")
            raise TemplateRefused(
                f"stack `{self._stack_name}`: {self._target.name} refuses the template: {message}",
                hint="mend the template, then deploy again",
            ) from error
        change_set, stack_id = answer["Id"], answer["StackId"]
        for _ in self._patience.looks(f"the change set of stack `{self._stack_name}`"):
            found = self._cloudformation.describe_change_set(ChangeSetName=change_set, StackName=stack_id)
            if found["Status"] in ("CREATE_COMPLETE", "FAILED"):
                break
        if found["Status"] == "CREATE_COMPLETE" and (found.get("Changes") or not self._is_same(found, stack_id, kind)):
            return change_set, stack_id
        reason = found.get("StatusReason") or ""
        if found["Status"] == "FAILED" and "alidation" in reason:
            reason = self._validation_failure(ChangeSetName=change_set) or reason
        self._cloudformation.delete_change_set(ChangeSetName=change_set, StackName=stack_id)
        if found["Status"] == "CREATE_COMPLETE" or (kind == "UPDATE" and any(word in reason for word in NO_CHANGES)):
            return None, stack_id
        if kind == "CREATE":
            # What a change set that failed leaves of a new stack is an empty one in REVIEW_IN_PROGRESS.
            self._cloudformation.delete_stack(StackName=stack_id)
        raise DeployError(
            f"stack `{self._stack_name}`: the change set failed: {reason or 'no reason was given'}",
            hint="mend the template, then deploy again",
        )

    def _is_same(self, change_set: dict[str, Any], stack_id: str, kind: str) -> bool:
        """Whether a ready change set without a resource to change means that nothing is to be done.

        On AWS it may still change outputs. LocalStack 4.8.1 makes one when nothing changed, too: there it is nothing
        unless a parameter's value is another.
        """
        if kind == "CREATE" or self._target.endpoint_url is None:
            return False
        stack = describe_stack(self._cloudformation, stack_id) or {}
        return _values(change_set) == _values(stack)

    def _execute(self, change_set: str, stack_id: str, action: Action) -> None:
        reader = EventReader(self._cloudformation, self._stack_name, stack_id)
        verb = "updating" if action is Action.UPDATED else "creating"
        self._on_step(f"{verb} stack `{self._stack_name}`")
        self._cloudformation.execute_change_set(ChangeSetName=change_set, StackName=stack_id)
        status = reader.follow(self._on_event, self._patience)
        if status in SUCCEEDED:
            return
        cause = reader.first_failure()
        what = "updated" if action is Action.UPDATED else "created"
        why = "no event says why"
        if cause is not None:
            why = f"resource `{cause.logical_id}` ({cause.resource_type}): {cause.reason or cause.status}"
        if cause is None or cause.resource_type == STACK_TYPE:
            why = self._validation_failure(StackName=stack_id) or why
        if cause is not None and (cause.reason or "").startswith(NO_ENVIRONMENT):
            hint = (
                f"{self._target.name} could not make a place to run it in, and its own log says why; "
                f"`lab doctor --target {self._target.name}` looks for Docker"
            )
        elif status == "UPDATE_ROLLBACK_COMPLETE":
            hint = "what was deployed before is in place again; mend the template, then deploy"
        elif status in STUCK:
            hint = STUCK[status][1].format(self._stack_name) + f"`lab destroy {self._stack_name}`, then deploy again"
        elif status in NEVER_COMPLETE:
            hint = "mend the template, then deploy: what is left of the stack is deleted first"
        else:
            hint = f"delete it with `lab destroy {self._stack_name}`, then deploy again"
        if action is Action.RECREATED:
            why += "; the stack that was there before was deleted for it, as this target cannot update it"
        raise DeployError(f"stack `{self._stack_name}` could not be {what} and is in {status}: {why}", hint=hint)

    def _tidy_up(self, stack_id: str, document: Mapping[str, Any]) -> None:
        """Remove what an emulator has made for a stack that failed, and has not written down there."""
        stack = None if self._target.endpoint_url is None else describe_stack(self._cloudformation, stack_id)
        if stack is not None:
            remove_half_made(self._target, stack, stack_resources(self._cloudformation, stack_id), document)

    def _validation_failure(self, **where: str) -> str | None:
        """Which resource the validation before a deployment refused, and why: stack events tell only that it did.

        documented: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeEvents.html
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._cloudformation.describe_events(**where, Filters={"FailedEvents": True})
        except (ClientError, BotoCoreError):
            return None  # an emulator without this call; what is known already is told
        failed = [event for event in answer["OperationEvents"] if event.get("EventType") == "VALIDATION_ERROR"]
        if not failed:
            return None
        operation = max(failed, key=lambda event: event["Timestamp"]).get("OperationId")
        told = [
            f"resource `{event.get('LogicalResourceId')}` ({event.get('ResourceType')}): "
            f"{event.get('ValidationStatusReason') or event.get('ValidationName')}"
            for event in failed
            if event.get("OperationId") == operation
        ]
        return "; ".join(told)

    def _result(self, stack_id: str, action: Action, values: Mapping[str, str], notes: list[str]) -> DeployResult:
        stack = describe_stack(self._cloudformation, stack_id) or {}
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        return DeployResult(self._stack_name, stack_id, action, dict(values), outputs, self.bucket.name, tuple(notes))


def _values(described: dict[str, Any]) -> dict[str, str]:
    return {item["ParameterKey"]: item.get("ParameterValue", "") for item in described.get("Parameters") or []}
