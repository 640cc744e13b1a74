"""Every call that lab makes to an AWS account, and the permission it needs.

`CALLS` are lab's own requests. `STACK_ACTIONS` are what CloudFormation does with the caller's rights when it creates,
updates and deletes the bundled stack. docs/aws.md has both as tables, docs/policies/ as IAM policies, and
`lab doctor --target aws` asks IAM about them. `python -m serverless_lab.targets.permissions WHAT` writes them.

documented: https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
(each service's actions); what CloudFormation needs for a type is in that type's schema, under `handlers`:
https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

NAMES = "lab-*"
"""What the names of stacks begin with unless --stack says another; the stack's own names begin with the stack's."""


class Resource(Enum):
    """What an action is done to: the ARN up to its name, the names the policy allows, what follows the name."""

    ANYTHING = ("*", "", "")
    STACK = ("arn:aws:cloudformation:{region}:{account}:stack/", NAMES, "/*")
    TRANSFORM = ("arn:aws:cloudformation:{region}:aws:transform/", "Serverless-2016-10-31", "")
    BUCKET = ("arn:aws:s3:::", NAMES, "")
    OBJECT = ("arn:aws:s3:::", NAMES, "/*")
    FUNCTION = ("arn:aws:lambda:{region}:{account}:function:", NAMES, "")
    MAPPING = ("arn:aws:lambda:{region}:{account}:event-source-mapping:", "*", "")
    TABLE = ("arn:aws:dynamodb:{region}:{account}:table/", NAMES, "")
    REST_API = ("arn:aws:apigateway:{region}::/restapis", "*", "")
    API_TAGS = ("arn:aws:apigateway:{region}::/tags/", "*", "")
    HTTP_API = ("arn:aws:apigateway:{region}::/apis", "*", "")
    LOG_GROUP = ("arn:aws:logs:{region}:{account}:log-group:", "/aws/lambda/" + NAMES, "")
    ROLE = ("arn:aws:iam::{account}:role/", NAMES, "")
    QUEUE = ("arn:aws:sqs:{region}:{account}:", NAMES, "")
    RULE = ("arn:aws:events:{region}:{account}:rule/", NAMES, "")
    PARAMETER = ("arn:aws:ssm:{region}:{account}:parameter/", NAMES, "")

    def arn(self, name: str | None = None, *, region: str = "*", account: str = "*") -> str:
        """The ARN of the resource called `name`; the pattern that the policy allows when no name is given."""
        stem, names, rest = self.value
        if name is not None and name.startswith("arn:"):
            return name
        return stem.format(region=region, account=account) + (names if name is None else name) + rest


@dataclass(frozen=True)
class Call:
    """One of lab's requests. `parameter` is the request's parameter that names the resource.

    `without` is what is lost when it is not allowed; None means that the commands cannot do without it.
    """

    service: str
    operation: str
    actions: tuple[str, ...]
    resource: Resource
    parameter: str | None
    commands: tuple[str, ...]
    without: str | None = None


def _calls(
    service: str, resource: Resource, parameter: str | None, commands: str, *operations: str, without: str | None = None
) -> list[Call]:
    """Calls whose action has the operation's own name."""
    return [
        Call(service, name, (f"{service}:{name}",), resource, parameter, tuple(commands.split()), without)
        for name in operations
    ]


_INSIGHTS = "`lab coldstarts report --insights`"
_TAGS = "the tag of functions' log groups"
_VOLUME = "how much log there is to read, and what Logs Insights would cost"

EVERY = ("deploy", "load", "report", "invoke", "logs", "compare", "destroy")

CALLS: tuple[Call, ...] = (
    # No policy is needed for this one, and none can deny it.
    Call("sts", "GetCallerIdentity", (), Resource.ANYTHING, None, (*EVERY, "doctor")),
    *_calls("cloudformation", Resource.STACK, "StackName", " ".join(EVERY), "DescribeStacks"),
    *_calls("cloudformation", Resource.STACK, "StackName", "deploy report destroy", "ListStackResources"),
    *_calls(
        "cloudformation",
        Resource.STACK,
        "StackName",
        "deploy",
        "CreateChangeSet",
        "DescribeChangeSet",
        "ExecuteChangeSet",
        "DeleteChangeSet",
    ),
    *_calls("cloudformation", Resource.STACK, "StackName", "deploy destroy", "DescribeStackEvents", "DeleteStack"),
    *_calls(
        "cloudformation",
        Resource.STACK,
        "StackName",
        "deploy",
        "DescribeEvents",
        without="which resource the validation before a deployment refused",
    ),
    *_calls("cloudformation", Resource.STACK, "StackName", "deploy destroy", "GetTemplate"),
    Call("s3", "HeadBucket", ("s3:ListBucket",), Resource.BUCKET, "Bucket", ("deploy", "destroy")),
    *_calls("s3", Resource.BUCKET, "Bucket", "deploy", "CreateBucket", "PutBucketTagging"),
    *_calls(
        "s3",
        Resource.BUCKET,
        "Bucket",
        "deploy",
        "GetBucketTagging",
        without="the tag of a bucket whose first deployment was broken off",
    ),
    Call("s3", "PutPublicAccessBlock", ("s3:PutBucketPublicAccessBlock",), Resource.BUCKET, "Bucket", ("deploy",)),
    Call("s3", "HeadObject", ("s3:GetObject",), Resource.OBJECT, "Bucket", ("deploy",)),
    *_calls("s3", Resource.OBJECT, "Bucket", "deploy", "PutObject"),
    Call("s3", "CreateMultipartUpload", ("s3:PutObject",), Resource.OBJECT, "Bucket", ("deploy",)),
    Call("s3", "UploadPart", ("s3:PutObject",), Resource.OBJECT, "Bucket", ("deploy",)),
    Call("s3", "CompleteMultipartUpload", ("s3:PutObject",), Resource.OBJECT, "Bucket", ("deploy",)),
    *_calls("s3", Resource.OBJECT, "Bucket", "deploy", "AbortMultipartUpload"),
    Call("s3", "ListObjectVersions", ("s3:ListBucketVersions",), Resource.BUCKET, "Bucket", ("destroy",)),
    Call(
        "s3",
        "DeleteObjects",
        ("s3:DeleteObject", "s3:DeleteObjectVersion"),
        Resource.OBJECT,
        "Bucket",
        ("destroy",),
    ),
    *_calls("s3", Resource.BUCKET, "Bucket", "destroy", "DeleteBucket"),
    *_calls("lambda", Resource.FUNCTION, "FunctionName", "deploy report", "GetFunctionConfiguration"),
    *_calls("lambda", Resource.FUNCTION, "FunctionName", "deploy", "GetAlias"),
    *_calls(
        "lambda",
        Resource.FUNCTION,
        "FunctionName",
        "deploy",
        "GetProvisionedConcurrencyConfig",
        "GetFunctionConcurrency",
    ),
    *_calls(
        "lambda",
        Resource.FUNCTION,
        "FunctionName",
        "load",
        "UpdateFunctionConfiguration",
        "PublishVersion",
        "UpdateAlias",
        "ListVersionsByFunction",
        "DeleteFunction",
        without="`lab load --cold`: a version for the run, which is deleted after it",
    ),
    *_calls(
        "lambda",
        Resource.FUNCTION,
        "FunctionName",
        "compare",
        "ListProvisionedConcurrencyConfigs",
        without="`lab compare`",
    ),
    # Schedules may be of any name: which of them invoke the stack's functions is seen in their targets.
    *_calls("events", Resource.ANYTHING, None, "compare", "ListRules", "ListTargetsByRule", without="`lab compare`"),
    *_calls("lambda", Resource.MAPPING, "UUID", "deploy", "GetEventSourceMapping"),
    *_calls("dynamodb", Resource.TABLE, "TableName", "deploy", "DescribeTable", "DescribeTimeToLive"),
    Call("apigateway", "GetStages", ("apigateway:GET",), Resource.REST_API, "restApiId", ("deploy",)),
    Call("apigatewayv2", "GetStages", ("apigateway:GET",), Resource.HTTP_API, "ApiId", ("deploy",)),
    Call("lambda", "Invoke", ("lambda:InvokeFunction",), Resource.FUNCTION, "FunctionName", ("invoke",)),
    *_calls("logs", Resource.LOG_GROUP, "logGroupName", "deploy", "CreateLogGroup", without=_TAGS),
    *_calls("logs", Resource.LOG_GROUP, "resourceArn", "deploy", "TagResource", without=_TAGS),
    *_calls("logs", Resource.LOG_GROUP, "logGroupName", "report logs", "FilterLogEvents"),
    *_calls(
        "logs",
        Resource.LOG_GROUP,
        "logGroupName",
        "report",
        "DescribeLogStreams",
        "GetLogEvents",
        without="a millisecond that fills a page which names no next one",
    ),
    *_calls("logs", Resource.LOG_GROUP, "logGroupName", "report", "StartQuery", without=_INSIGHTS),
    *_calls("logs", Resource.ANYTHING, None, "report", "GetQueryResults", "StopQuery", without=_INSIGHTS),
    *_calls("cloudwatch", Resource.ANYTHING, None, "report", "GetMetricData", without=_VOLUME),
    *_calls("logs", Resource.ANYTHING, None, "report", "DescribeLogGroups", without=_VOLUME),
    *_calls("logs", Resource.LOG_GROUP, "logGroupName", "destroy", "DeleteLogGroup"),
    *_calls(
        "lambda", Resource.ANYTHING, None, "doctor", "GetAccountSettings", without="the quota of concurrent executions"
    ),
    *_calls(
        "iam",
        Resource.ANYTHING,
        None,
        "doctor",
        "SimulatePrincipalPolicy",
        without="permissions looked at beforehand; reading calls are tried instead",
    ),
    *_calls(
        "iam",
        Resource.ANYTHING,
        None,
        "doctor",
        "GetRole",
        without="the same for roles of IAM Identity Center, whose sessions do not tell the role's path",
    ),
)

EMULATORS_ONLY: dict[tuple[str, str], str] = {
    ("dynamodb", "UpdateTimeToLive"): "repairs",
    ("lambda", "PutFunctionConcurrency"): "repairs",
    ("lambda", "PutProvisionedConcurrencyConfig"): "repairs",
    ("lambda", "DeleteProvisionedConcurrencyConfig"): "repairs",
    ("lambda", "UpdateEventSourceMapping"): "repairs",
    ("lambda", "DeleteEventSourceMapping"): "leftovers",
    ("lambda", "ListFunctions"): "leftovers",
    ("apigateway", "GetRestApi"): "leftovers",
    ("apigateway", "DeleteRestApi"): "leftovers",
    ("events", "RemoveTargets"): "leftovers",
    ("events", "DescribeRule"): "leftovers",
    ("events", "DeleteRule"): "leftovers",
    ("dynamodb", "DeleteTable"): "leftovers",
    ("sqs", "GetQueueAttributes"): "leftovers",
    ("sqs", "DeleteQueue"): "leftovers",
    ("ssm", "DeleteParameter"): "leftovers",
    ("iam", "ListRolePolicies"): "leftovers",
    ("iam", "DeleteRolePolicy"): "leftovers",
    ("iam", "ListAttachedRolePolicies"): "leftovers",
    ("iam", "DetachRolePolicy"): "leftovers",
    ("iam", "DeleteRole"): "leftovers",
}
"""Calls that are never made on AWS: what an emulator ignored is set, what it forgot to delete is deleted."""


@dataclass(frozen=True)
class Grant:
    """What CloudFormation does, with the caller's rights, for resources of `types`."""

    types: tuple[str, ...]
    resource: Resource
    actions: tuple[str, ...]
    condition: tuple[tuple[str, str, str], ...] = ()


def _grant(types: str, resource: Resource, prefix: str, actions: str, *condition: tuple[str, str, str]) -> Grant:
    full = tuple(f"AWS::{name}" for name in types.split())
    return Grant(full, resource, tuple(f"{prefix}:{name}" for name in actions.split()), condition)


# documented: the `handlers` of each type's schema (`aws cloudformation describe-type --type RESOURCE --type-name ...`),
# less what the bundled template's properties do not ask for (keys, networks, Kinesis, replication).
STACK_ACTIONS: tuple[Grant, ...] = (
    Grant(("AWS::Serverless::*",), Resource.TRANSFORM, ("cloudformation:CreateChangeSet",)),
    _grant(
        "Lambda::Function Lambda::Version Lambda::Alias Lambda::Permission",
        Resource.FUNCTION,
        "lambda",
        "CreateFunction GetFunction GetFunctionConfiguration UpdateFunctionCode UpdateFunctionConfiguration"
        " DeleteFunction"
        " GetFunctionCodeSigningConfig GetRuntimeManagementConfig PutFunctionConcurrency DeleteFunctionConcurrency"
        " ListTags TagResource UntagResource GetPolicy AddPermission RemovePermission"
        " PublishVersion ListVersionsByFunction CreateAlias GetAlias UpdateAlias DeleteAlias"
        " PutProvisionedConcurrencyConfig GetProvisionedConcurrencyConfig DeleteProvisionedConcurrencyConfig",
    ),
    _grant(
        "Lambda::EventSourceMapping",
        Resource.ANYTHING,
        "lambda",
        "CreateEventSourceMapping UpdateEventSourceMapping DeleteEventSourceMapping",
        ("ArnLike", "lambda:FunctionArn", Resource.FUNCTION.arn()),
    ),
    _grant("Lambda::EventSourceMapping", Resource.MAPPING, "lambda", "GetEventSourceMapping ListTags TagResource"),
    _grant("Lambda::Function", Resource.OBJECT, "s3", "GetObject GetObjectVersion"),
    _grant(
        "IAM::Role",
        Resource.ROLE,
        "iam",
        "CreateRole GetRole UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy DeleteRole TagRole UntagRole"
        " PutRolePolicy GetRolePolicy DeleteRolePolicy ListRolePolicies AttachRolePolicy DetachRolePolicy"
        " ListAttachedRolePolicies",
    ),
    _grant(
        "Lambda::Function",
        Resource.ROLE,
        "iam",
        "PassRole",
        ("StringEquals", "iam:PassedToService", "lambda.amazonaws.com"),
    ),
    _grant(
        "ApiGateway::RestApi ApiGateway::Deployment ApiGateway::Stage",
        Resource.REST_API,
        "apigateway",
        "GET POST PUT PATCH DELETE",
    ),
    _grant("ApiGateway::RestApi ApiGateway::Stage", Resource.API_TAGS, "apigateway", "PUT"),
    _grant(
        "DynamoDB::Table",
        Resource.TABLE,
        "dynamodb",
        "CreateTable DescribeTable UpdateTable DeleteTable DescribeTimeToLive UpdateTimeToLive"
        " DescribeContinuousBackups DescribeContributorInsights DescribeKinesisStreamingDestination"
        " ListTagsOfResource TagResource UntagResource",
    ),
    _grant(
        "S3::Bucket",
        Resource.BUCKET,
        "s3",
        "CreateBucket DeleteBucket ListBucket GetBucketTagging PutBucketTagging GetLifecycleConfiguration"
        " PutLifecycleConfiguration GetBucketPublicAccessBlock PutBucketPublicAccessBlock",
    ),
    _grant(
        "SQS::Queue",
        Resource.QUEUE,
        "sqs",
        "CreateQueue GetQueueUrl GetQueueAttributes SetQueueAttributes DeleteQueue ListQueueTags TagQueue UntagQueue",
    ),
    _grant(
        "Events::Rule",
        Resource.RULE,
        "events",
        "PutRule DescribeRule DeleteRule PutTargets RemoveTargets ListTargetsByRule TagResource UntagResource",
    ),
    _grant(
        "SSM::Parameter",
        Resource.PARAMETER,
        "ssm",
        "PutParameter GetParameters DeleteParameter AddTagsToResource RemoveTagsFromResource",
    ),
)


def call(service: str, operation: str) -> Call | None:
    """The entry of `CALLS` for an operation as botocore names both; None when lab does not make it on AWS."""
    return next((item for item in CALLS if (item.service, item.operation) == (service, operation)), None)


def lab_policy() -> dict[str, Any]:
    """The IAM policy for lab's own calls."""
    return _policy((item.resource, item.actions, ()) for item in CALLS if item.actions)


def stack_policy() -> dict[str, Any]:
    """The IAM policy for what CloudFormation does in the caller's name."""
    return _policy((grant.resource, grant.actions, grant.condition) for grant in STACK_ACTIONS)


def _policy(
    parts: Iterable[tuple[Resource, tuple[str, ...], tuple[tuple[str, str, str], ...]]],
) -> dict[str, Any]:
    statements: dict[tuple[Resource, tuple[tuple[str, str, str], ...]], set[str]] = {}
    for resource, actions, condition in parts:
        statements.setdefault((resource, condition), set()).update(actions)
    written = []
    for (resource, condition), gathered in statements.items():
        statement: dict[str, Any] = {"Effect": "Allow", "Action": sorted(gathered), "Resource": resource.arn()}
        if condition:
            statement["Condition"] = {operator: {key: value} for operator, key, value in condition}
        written.append(statement)
    return {"Version": "2012-10-17", "Statement": written}


def calls_table() -> str:
    """`CALLS` as docs/aws.md has them."""
    lines = ["| call | permission | on | for `lab ...` | without it |", "|---|---|---|---|---|"]
    for item in CALLS:
        actions = ", ".join(f"`{action}`" for action in item.actions) or "none"
        where = f"`{item.resource.arn()}`" if item.actions else ""
        commands = "every command" if set(EVERY) <= set(item.commands) else ", ".join(item.commands)
        lines.append(f"| {item.service} {item.operation} | {actions} | {where} | {commands} | {item.without or ''} |")
    return "\n".join(lines) + "\n"


def stack_table() -> str:
    """`STACK_ACTIONS` as docs/aws.md has them."""
    lines = ["| resources | permissions | on | if |", "|---|---|---|---|"]
    for grant in STACK_ACTIONS:
        types = ", ".join(f"`{name}`" for name in grant.types)
        actions = ", ".join(f"`{action}`" for action in grant.actions)
        conditions = "; ".join(f"`{key}` is `{value}`" for _, key, value in grant.condition)
        lines.append(f"| {types} | {actions} | `{grant.resource.arn()}` | {conditions} |")
    return "\n".join(lines) + "\n"


WRITERS: dict[str, Callable[[], str]] = {
    "calls": calls_table,
    "stack": stack_table,
    "lab-policy": lambda: json.dumps(lab_policy(), indent=2) + "\n",
    "stack-policy": lambda: json.dumps(stack_policy(), indent=2) + "\n",
}

if __name__ == "__main__":
    sys.stdout.write(WRITERS[sys.argv[1]]())
