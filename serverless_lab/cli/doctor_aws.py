"""What `lab doctor` has to say about an AWS account. It asks and reads; it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from serverless_lab.cli.findings import BAD, DOUBTFUL, GOOD, Finding, concurrency_finding
from serverless_lab.errors import LabError
from serverless_lab.targets.permissions import CALLS, STACK_ACTIONS, Resource

if TYPE_CHECKING:
    from serverless_lab.scenario import Scenario

POLICIES = "attach docs/policies/lab-commands.json and lab-stack.json; docs/aws.md says what each permission is for"
SSO_ROLE = "AWSReservedSSO_"
SHOWN = 6


def _found(subject: str, state: str, text: str, hint: str | None = None) -> Finding:
    return Finding("aws", subject, state, text, hint)


def look_at_aws(
    scenario: Scenario, stack_name: str, region: str | None, profile: str | None, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Whether the configuration leads to an account, whose credentials these are, what they may do, and its quota."""
    from botocore.exceptions import BotoCoreError, ClientError

    from serverless_lab.targets import resolve_target

    try:
        target: Any = resolve_target("aws", region=region, profile=profile, environment=environment)
    except LabError as error:
        yield _found("configuration", BAD, error.message, error.hint)
        return
    yield _found("endpoint", GOOD, f"no override; region {target.region}, profile {target.profile}")
    try:
        identity = target.identity()
    except LabError as error:
        yield _found("credentials", BAD, error.message, error.hint)
        return
    except (BotoCoreError, ClientError) as error:
        yield _found("credentials", BAD, str(error), target.sign_in)
        return
    if identity["Arn"].endswith(":root"):
        yield _found(
            "credentials",
            DOUBTFUL,
            f"account {identity['Account']}, as its root user",
            "make a role or a user with the policies of docs/policies, and leave root alone",
        )
    else:
        yield _found("credentials", GOOD, f"account {identity['Account']}, as {identity['Arn']}")
    yield from _permissions(target, identity, stack_name)
    yield from _concurrency(target, scenario)


def _permissions(target: Any, identity: Mapping[str, str], stack_name: str) -> Iterator[Finding]:
    """Which permissions of docs/aws.md are missing, as far as IAM says; else as far as reading calls tell."""
    from botocore.exceptions import BotoCoreError, ClientError

    if identity["Arn"].endswith(":root"):
        return
    place = {"region": target.region, "account": identity["Account"]}
    try:
        principal = _principal(target, identity["Arn"])
        missing = list(_simulated(target, principal, stack_name, place))
    except (ClientError, BotoCoreError) as error:
        yield _tried(target, identity["Account"], stack_name, str(error))
        return
    needed = [text for text, essential in missing if essential]
    if needed:
        yield _found("permissions", BAD, "missing: " + _listed(needed), POLICIES)
    others = [text for text, essential in missing if not essential]
    if others:
        text = "missing, and needed for the bundled stack or for more detail: " + _listed(others)
        yield _found("permissions", DOUBTFUL, text, POLICIES)
    if not missing:
        yield _found("permissions", GOOD, f"all that lab and the bundled stack need, for stack {stack_name}")


def _listed(texts: list[str]) -> str:
    rest = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + rest


def _principal(target: Any, arn: str) -> str:
    """The IAM user or role behind the identity that STS names: a session of a role is none that IAM knows."""
    parts = arn.split(":")
    kind, _, rest = parts[5].partition("/")
    if kind != "assumed-role":
        return arn
    role = rest.partition("/")[0]
    if role.startswith(SSO_ROLE):
        # Such a role has a path, which the session's ARN leaves out.
        return str(target.client("iam").get_role(RoleName=role)["Role"]["Arn"])
    return f"{parts[0]}:{parts[1]}:iam::{parts[4]}:role/{role}"


Question = tuple[str, tuple[tuple[str, str, str], ...]]


def _simulated(target: Any, principal: str, stack_name: str, place: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """Each action that IAM would deny, with its resource, and whether lab cannot do without it."""
    questions: dict[Question, dict[str, bool]] = {}
    for call in CALLS:
        asked = questions.setdefault((_example(call.resource, stack_name, place), ()), {})
        for action in call.actions:
            asked[action] = asked.get(action, False) or call.without is None
    for grant in STACK_ACTIONS:
        condition = tuple((kind, key, value.replace("lab-*", stack_name)) for kind, key, value in grant.condition)
        asked = questions.setdefault((_example(grant.resource, stack_name, place), condition), {})
        for action in grant.actions:
            asked.setdefault(action, False)
    iam = target.client("iam").get_paginator("simulate_principal_policy")
    for (arn, condition), asked in questions.items():
        if not asked:
            continue
        context = [
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for _, key, value in condition
        ]
        pages = iam.paginate(
            PolicySourceArn=principal, ActionNames=sorted(asked), ResourceArns=[arn], ContextEntries=context
        )
        for page in pages:
            for result in page["EvaluationResults"]:
                if result["EvalDecision"] != "allowed":
                    yield f"{result['EvalActionName']} on {arn}", asked.get(result["EvalActionName"], True)


def _example(resource: Resource, stack_name: str, place: Mapping[str, str]) -> str:
    """An ARN of that kind in this project's stack."""
    _, names, _ = resource.value
    if resource is Resource.ANYTHING:
        return "*"
    example = names.replace("lab-*", stack_name).replace(
        "*", "/x" if resource in (Resource.REST_API, Resource.HTTP_API) else "x"
    )
    return resource.arn(example, **place).replace("/*", "/x")


def _tried(target: Any, account: str, stack_name: str, why: str) -> Finding:
    """What a few reading calls tell where IAM does not answer: not found is allowed, denied is missing."""
    from botocore.exceptions import BotoCoreError, ClientError

    from serverless_lab.deploy.artifacts import BUCKET_NAME
    from serverless_lab.targets.clients import DENIED_CODES, error_code

    bucket = BUCKET_NAME.format(account=account, region=target.region)
    tries: dict[str, Callable[[], Any]] = {
        "cloudformation:DescribeStacks": lambda: target.client("cloudformation").describe_stacks(StackName=stack_name),
        "s3:ListBucket": lambda: target.client("s3").head_bucket(Bucket=bucket),
        "lambda:GetFunctionConfiguration": lambda: target.client("lambda").get_function_configuration(
            FunctionName=stack_name
        ),
        "dynamodb:DescribeTable": lambda: target.client("dynamodb").describe_table(TableName=stack_name),
        "logs:FilterLogEvents": lambda: target.client("logs").filter_log_events(
            logGroupName=f"/aws/lambda/{stack_name}", limit=1
        ),
    }
    denied = []
    for action, attempt in tries.items():
        try:
            attempt()
        except ClientError as error:
            if error_code(error) in DENIED_CODES | {"403"}:
                denied.append(action)
        except BotoCoreError as error:
            return _found("permissions", DOUBTFUL, f"cannot be looked at: {error}", "check the network")
    asked = f"IAM was not asked ({why})"
    if denied:
        return _found("permissions", BAD, f"{asked}; denied: {', '.join(denied)}", POLICIES)
    text = f"{asked}; {len(tries)} reading calls are allowed, and writing ones cannot be tried"
    return _found("permissions", DOUBTFUL, text, "allow iam:SimulatePrincipalPolicy, and they can be looked at")


def _concurrency(target: Any, scenario: Scenario) -> Iterator[Finding]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        limits = target.client("lambda").get_account_settings()["AccountLimit"]
    except (ClientError, BotoCoreError) as error:
        yield _found("concurrency", DOUBTFUL, f"the quota cannot be read: {error}", "allow lambda:GetAccountSettings")
        return
    yield concurrency_finding(
        "aws",
        limits,
        scenario,
        "ask for more in Service Quotas (Lambda, Concurrent executions), or send a smaller scenario",
    )
