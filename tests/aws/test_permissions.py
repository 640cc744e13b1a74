"""The table of calls and permissions is complete, and the policies made from it are enough for what lab does."""

from __future__ import annotations

import ast
import functools
import json
import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from serverless_lab.coldstarts.sources import read_cloudwatch_logs
from serverless_lab.deploy.destroy import destroy_stack
from serverless_lab.deploy.events import stack_resources
from serverless_lab.deploy.inventory import describe_deployment
from serverless_lab.deploy.stack import deploy_stack
from serverless_lab.deploy.verify import verify_stack
from serverless_lab.project import bundled
from serverless_lab.targets import permissions
from serverless_lab.targets.aws import AwsTarget
from serverless_lab.targets.permissions import CALLS, EMULATORS_ONLY, STACK_ACTIONS, Resource, lab_policy, stack_policy
from tests.aws.hooks import Forwarder
from tests.aws.policy import allowed, refused

ROOT = Path(__file__).parents[2]
MANAGED_POLICY_MAX = 6_144
"""documented: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html (without white space)"""

SERVICES = sorted({item.service for item in CALLS} | {service for service, _ in EMULATORS_ONLY} | {"ssm", "cloudwatch"})
NOT_BOTO3 = {("runner", "send_message"), ("socket", "create_connection")}  # Locust's and the standard library's
CLIENT = re.compile("client|logs|lambda|s3|iam|events|cloudformation|dynamodb|sqs")
HOW = "add it to CALLS in serverless_lab/targets/permissions.py, then write docs/aws.md and docs/policies/ anew"


@functools.cache
def operations() -> dict[str, set[tuple[str, str]]]:
    """Method name of a client -> the operations it may mean."""
    session = botocore.session.get_session()
    found = defaultdict(set)
    for service in SERVICES:
        for operation in session.get_service_model(service).operation_names:
            found[xform_name(operation)].add((service, operation))
    return found


@functools.cache
def calls_in_source() -> tuple[tuple[str, str], ...]:
    """Where a method of a boto3 client is called, or a paginator of it asked for: file and line, method."""
    return tuple(_calls_in_source(operations()))


def _calls_in_source(known: dict[str, set[tuple[str, str]]]) -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "serverless_lab").rglob("*.py")):
        if "emulator" in path.parts:
            continue
        tree = ast.parse(path.read_text())
        called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            receiver = ast.unparse(node.value).rpartition(".")[2]
            name = node.attr
            if name in ("get_paginator", "get_waiter") and id(node) in called:
                name = ast.literal_eval(called[id(node)].args[0])
            elif id(node) not in called and not CLIENT.search(receiver):
                continue  # an attribute of something else; a client's method may be handed on without a call
            if name in known and (receiver, name) not in NOT_BOTO3:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", name


def test_every_call_in_the_source_is_in_the_table() -> None:
    """A permission that nobody wrote down is found by a user, in the middle of a deployment."""
    known = operations()
    listed = {(item.service, item.operation) for item in CALLS} | set(EMULATORS_ONLY)
    missing = [f"{where} calls {name}" for where, name in calls_in_source() if not known[name] & listed]
    assert not missing, f"{missing}: {HOW}"


def test_the_table_has_no_call_that_nobody_makes() -> None:
    """A policy with more than is needed is not the least one."""
    made = {pair for _, name in calls_in_source() for pair in operations()[name]}
    # What `upload_file` of boto3 does with a large file.
    made |= {("s3", name) for name in ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")}
    made |= {("s3", "AbortMultipartUpload")}
    listed = {(item.service, item.operation) for item in CALLS} | set(EMULATORS_ONLY)
    assert listed - made == set()


@pytest.mark.parametrize(
    ("name", "policy"), [("lab-commands", lab_policy()), ("lab-stack", stack_policy())], ids=["commands", "stack"]
)
def test_the_policies_in_docs_are_those_of_the_table_and_small_enough_for_iam(name: str, policy: Any) -> None:
    written = json.loads((ROOT / "docs" / "policies" / f"{name}.json").read_text())
    assert written == policy, HOW
    assert len(json.dumps(policy, separators=(",", ":"))) <= MANAGED_POLICY_MAX
    assert not any(
        action in ("*", "s3:*", "iam:*", "lambda:*") for item in policy["Statement"] for action in item["Action"]
    )


@pytest.mark.parametrize("table", ["calls", "stack"])
def test_the_tables_in_docs_are_those_of_the_module(table: str) -> None:
    """Write them anew with `python -m serverless_lab.targets.permissions calls`, and `stack`."""
    assert permissions.WRITERS[table]() in (ROOT / "docs" / "aws.md").read_text(), HOW


def test_changing_actions_reach_what_belongs_to_lab_alone() -> None:
    """Reading may be wider; nothing that writes or deletes may be allowed on another team's stack, table or role."""
    # IAM knows no resource for stopping a query, and a query's id is known to who began it.
    reading = ("Get", "List", "Describe", "Head", "Simulate", "Filter", "StopQuery")
    for policy in (lab_policy(), stack_policy()):
        for statement in policy["Statement"]:
            changing = [name for name in statement["Action"] if not name.partition(":")[2].startswith(reading)]
            narrow = (
                "lab-*" in statement["Resource"] or "Condition" in statement or "transform/" in statement["Resource"]
            )
            ids = ("apigateway", "event-source-mapping")  # both have generated ids, which no pattern can tell apart
            assert not changing or narrow or any(word in statement["Resource"] for word in ids), statement


def test_what_lab_does_with_the_bundled_stack_is_allowed_and_nothing_is_repaired(
    on_aws: Callable[..., AwsTarget], forwarder: Forwarder, tmp_path: Path, at_once: None
) -> None:
    """Every request that an AwsTarget makes, with MiniStack in AWS's place, against the policy."""
    target = on_aws(forwarder)
    template = bundled("handlers", "template.yaml")
    name = f"lab-{uuid.uuid4().hex[:8]}"
    arguments: dict[str, Any] = {"template_path": template, "stack_name": name}
    values = {"ProvisionedConcurrency": "1", "WarmingSchedule": "rate(5 minutes)", "InitStyle": "lazy"}
    result = deploy_stack(target, parameters=values, build_directory=tmp_path, **arguments)
    verify_stack(target, parameters=result.parameters, **arguments)
    deployment = describe_deployment(target, parameters=result.parameters, now=datetime.now(UTC), **arguments)
    function = deployment.function("report-daily")
    target.client("lambda").invoke(FunctionName=function.name, Qualifier=function.alias or "$LATEST")
    read_cloudwatch_logs(target.client("logs"), [item.log_group for item in deployment.functions], 0, 2**42)
    resources = stack_resources(target.client("cloudformation"), name)
    destroy_stack(target, name)

    account = deployment.account_id
    problems = {
        problem for request in forwarder.requests for problem in refused(lab_policy(), request, account, target.region)
    }
    assert not problems, problems
    pairs = {(request.service, request.operation) for request in forwarder.requests}
    assert not pairs & set(EMULATORS_ONLY), "on AWS a difference is told, and nothing is mended"

    granted = {kind for grant in STACK_ACTIONS for kind in grant.types}
    assert {item["ResourceType"] for item in resources} <= granted
    stem_of = {
        "AWS::DynamoDB::Table": Resource.TABLE,
        "AWS::IAM::Role": Resource.ROLE,
        "AWS::Lambda::Function": Resource.FUNCTION,
        "AWS::S3::Bucket": Resource.BUCKET,
        "AWS::Events::Rule": Resource.RULE,
        "AWS::SSM::Parameter": Resource.PARAMETER,
    }
    for item in resources:
        resource = stem_of.get(item["ResourceType"])
        if resource is None:
            continue
        physical = item["PhysicalResourceId"].removeprefix("/")
        arn = resource.arn(physical, region=target.region, account=account)
        for grant in STACK_ACTIONS:
            if item["ResourceType"] in grant.types and grant.resource is resource:
                assert all(allowed(stack_policy(), action, arn) for action in grant.actions), arn


def test_another_team_s_resources_are_not_in_reach() -> None:
    policy = lab_policy()
    assert not allowed(policy, "cloudformation:DeleteStack", "arn:aws:cloudformation:eu-west-1:1:stack/shop/1")
    assert not allowed(policy, "s3:DeleteObject", "arn:aws:s3:::shop-invoices/1")
    assert not allowed(stack_policy(), "iam:PassRole", "arn:aws:iam::1:role/admin")
    assert allowed(policy, "cloudformation:DeleteStack", "arn:aws:cloudformation:eu-west-1:1:stack/lab-shop/1")
