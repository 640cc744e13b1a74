"""Provisioned concurrency: what AWS says of it and answers, and what a provisioned environment does."""

from __future__ import annotations

import json
import textwrap
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from serverless_lab import quotas
from serverless_lab.emulator.plane import vcpus
from tests.conftest import python_runtime
from tests.emulator.conftest import Emulator
from tests.fidelity.table import Area, Grade, aws

pytestmark = pytest.mark.process

PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html"
CONCURRENCY = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html"
LIFECYCLE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"
ENVIRONMENT = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"
LOCALSTACK = "https://github.com/localstack/localstack/blob/main/tests/aws/services"
RECORDED_API = f"{LOCALSTACK}/lambda_/test_lambda_api.snapshot.json"
RECORDED = f"{LOCALSTACK}/lambda_/test_lambda.snapshot.json"
RECORDED_STACK = f"{LOCALSTACK}/cloudformation/resources/test_lambda.snapshot.json"

TELL = """
    import os
    def handler(event, context):
        if event == 'crash':
            os._exit(1)
        return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']
"""
FAILS_WHEN_PROVISIONED = """
    import os
    if os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'] == 'provisioned-concurrency':
        raise Exception('no')
    def handler(event, context):
        return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']
"""


def settled(emulator: Emulator, name: str, qualifier: str) -> dict[str, Any]:
    """The configuration when its environments have initialised, or have not."""
    client = emulator.client("lambda")
    for _ in range(600):
        found = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
        if found["Status"] != "IN_PROGRESS":
            break
        time.sleep(0.1)
    return {key: value for key, value in found.items() if key not in ("ResponseMetadata", "LastModified")}


def published(emulator: Emulator, name: str, code: str = TELL, alias: str | None = None, **options: Any) -> str:
    """A function's new version, for which an alias may stand."""
    emulator.create(name, code, **options)
    client = emulator.client("lambda")
    version: str = client.publish_version(FunctionName=name)["Version"]
    if alias is not None:
        client.create_alias(FunctionName=name, Name=alias, FunctionVersion=version)
    return version


def provision(emulator: Emulator, name: str, qualifier: str, count: int = 1) -> dict[str, Any]:
    emulator.client("lambda").put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )
    return settled(emulator, name, qualifier)


def refusal(call: Any, **arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def ready(count: int) -> dict[str, Any]:
    return {
        "RequestedProvisionedConcurrentExecutions": count,
        "AvailableProvisionedConcurrentExecutions": count,
        "AllocatedProvisionedConcurrentExecutions": count,
        "Status": "READY",
    }


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "PutProvisionedConcurrencyConfig answers 202 IN_PROGRESS with nothing allocated; later all are, and it is READY.",
    source=RECORDED,
    grade=Grade.RECORDED,
)
def test_a_put_is_in_progress_and_then_ready(emulator: Emulator):
    version = published(emulator, "pc-put", alias="live")
    client = emulator.client("lambda")
    answer = client.put_provisioned_concurrency_config(
        FunctionName="pc-put", Qualifier="live", ProvisionedConcurrentExecutions=2
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert (answer["Status"], answer["RequestedProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", 2)
    assert answer["AllocatedProvisionedConcurrentExecutions"] == 0
    assert answer["AvailableProvisionedConcurrentExecutions"] == 0
    assert settled(emulator, "pc-put", "live") == ready(2)
    listed = client.list_provisioned_concurrency_configs(FunctionName="pc-put")["ProvisionedConcurrencyConfigs"]
    assert [item["FunctionArn"].rpartition(":function:")[2] for item in listed] == ["pc-put:live"]
    assert refusal(client.get_provisioned_concurrency_config, FunctionName="pc-put", Qualifier=version) == (
        404,
        "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function",
    )
    client.delete_provisioned_concurrency_config(FunctionName="pc-put", Qualifier="live")
    assert client.list_provisioned_concurrency_configs(FunctionName="pc-put")["ProvisionedConcurrencyConfigs"] == []


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "AWS_LAMBDA_INITIALIZATION_TYPE is provisioned-concurrency in such an environment, and on-demand in others. An "
    "alias's environments serve requests by the version's number too, and never $LATEST.",
    source=f"{ENVIRONMENT} {LOCALSTACK}/lambda_/test_lambda.py",
    grade=Grade.RECORDED,
)
def test_the_initialization_type_tells_them_apart(emulator: Emulator):
    version = published(emulator, "pc-type", alias="live")
    assert emulator.invoke("pc-type", Qualifier="live").body == "on-demand"
    provision(emulator, "pc-type", "live")
    assert emulator.invoke("pc-type", Qualifier="live").body == "provisioned-concurrency"
    assert emulator.invoke("pc-type", Qualifier=version).body == "provisioned-concurrency"
    assert emulator.invoke("pc-type").body == "on-demand"


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "A provisioned init writes INIT_REPORT with its duration alone, before any request.",
    source=LIFECYCLE,
)
def test_a_provisioned_init_writes_an_init_report(emulator: Emulator):
    version = published(emulator, "pc-report")
    provision(emulator, "pc-report", version)
    (_, start), (_, report) = emulator.log("pc-report")
    assert start.startswith("INIT_START Runtime Version: ")
    words, _, duration = report.partition("Duration: ")
    assert words == "INIT_REPORT Init "
    assert duration.endswith(" ms\n")
    assert float(duration.removesuffix(" ms\n")) > 0


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "In the JSON format each provisioned init is told by a platform.initReport at the system log level INFO.",
    source=PAGE,
)
def test_a_provisioned_init_is_told_in_json_at_the_level_info(emulator: Emulator):
    version = published(emulator, "pc-json", LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "INFO"})
    provision(emulator, "pc-json", version)
    events = [json.loads(message) for _, message in emulator.log("pc-json")]
    assert [event["type"] for event in events] == ["platform.initStart", "platform.initReport"]
    assert {event["record"]["initializationType"] for event in events} == {"provisioned-concurrency"}
    assert events[1]["record"]["metrics"]["durationMs"] > 0


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "The first REPORT of a provisioned environment has the Init Duration of its init, though nobody waited for it, and "
    "Billed Duration does not include it.",
    source="https://stackoverflow.com/questions/60059435",
    grade=Grade.RECORDED,
)
def test_the_first_report_has_the_init_duration_and_does_not_bill_it(emulator: Emulator):
    version = published(emulator, "pc-first")
    provision(emulator, "pc-first", version)
    emulator.invoke("pc-first", Qualifier=version)
    emulator.invoke("pc-first", Qualifier=version)
    first, second = emulator.reports("pc-first")
    assert first.init_duration_ms is not None
    assert first.billed_duration_ms is not None
    assert 0 <= first.billed_duration_ms - first.duration_ms < 1
    assert second.init_duration_ms is None


@aws(Area.PROVISIONED_CONCURRENCY, "It cannot be had for $LATEST.", source=f"{PAGE} {RECORDED_API}")
def test_latest_is_refused(emulator: Emulator):
    published(emulator, "pc-latest")
    client = emulator.client("lambda")
    assert refusal(
        client.put_provisioned_concurrency_config,
        FunctionName="pc-latest",
        Qualifier="$LATEST",
        ProvisionedConcurrentExecutions=1,
    ) == (
        400,
        "InvalidParameterValueException",
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    )


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "At most the unreserved concurrency of the account less 100.",
    source=f"{PAGE} {RECORDED_API}",
    grade=Grade.RECORDED,
)
def test_the_account_keeps_a_hundred(emulator: Emulator):
    version = published(emulator, "pc-much")
    client = emulator.client("lambda")

    def put(count: int) -> tuple[int, str, str]:
        return refusal(
            client.put_provisioned_concurrency_config,
            FunctionName="pc-much",
            Qualifier=version,
            ProvisionedConcurrentExecutions=count,
        )

    left = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    assert put(left - 99) == (
        400,
        "InvalidParameterValueException",
        "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of [100].",
    )
    assert put(left + 1) == (
        400,
        "InvalidParameterValueException",
        f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{left}].",
    )


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "A version has one configuration: on itself or on one alias that points to it.",
    source=RECORDED_API,
    grade=Grade.RECORDED,
)
def test_a_version_has_one_configuration(emulator: Emulator):
    version = published(emulator, "pc-once", alias="live")
    client = emulator.client("lambda")

    def put(qualifier: str) -> tuple[int, str, str]:
        return refusal(
            client.put_provisioned_concurrency_config,
            FunctionName="pc-once",
            Qualifier=qualifier,
            ProvisionedConcurrentExecutions=1,
        )

    provision(emulator, "pc-once", version)
    assert put("live") == (
        409,
        "ResourceConflictException",
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version",
    )
    client.delete_provisioned_concurrency_config(FunctionName="pc-once", Qualifier=version)
    provision(emulator, "pc-once", "live")
    assert put(version) == (409, "ResourceConflictException", "Version is pointed by a Provisioned Concurrency alias")
    arn = "arn:aws:lambda:us-east-1:000000000000:function:pc-once"
    assert put("nobody") == (404, "ResourceNotFoundException", f"Cannot find alias arn: {arn}:nobody")
    assert put("10") == (404, "ResourceNotFoundException", f"Function not found: {arn}:10")
    client.delete_alias(FunctionName="pc-once", Name="live")
    assert client.list_provisioned_concurrency_configs(FunctionName="pc-once")["ProvisionedConcurrencyConfigs"] == []


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "An init that fails is tried six times; then the status is FAILED, and requests are served on demand.",
    source=f"{LOCALSTACK}/lambda_/test_lambda.py",
    grade=Grade.MEASURED,
)
def test_an_init_that_fails_is_tried_six_times(emulator: Emulator):
    version = published(emulator, "pc-fails", FAILS_WHEN_PROVISIONED)
    found = provision(emulator, "pc-fails", version)
    assert (found["Status"], found["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    starts = [message for _, message in emulator.log("pc-fails") if message.startswith("INIT_START")]
    assert len(starts) == 6
    assert emulator.invoke("pc-fails", Qualifier=version).body == "on-demand"


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "When an alias moves to a new version, the new version's environments are initialised, and then the old one has "
    "none any more.",
    source=f"{LOCALSTACK}/lambda_/test_lambda.py {RECORDED}",
    grade=Grade.RECORDED,
)
def test_it_moves_along_with_the_alias(emulator: Emulator):
    first = published(emulator, "pc-moves", "import time\ntime.sleep(0.5)\n" + textwrap.dedent(TELL), alias="live")
    provision(emulator, "pc-moves", "live")
    client = emulator.client("lambda")
    client.update_function_configuration(FunctionName="pc-moves", Description="changed")
    second = client.publish_version(FunctionName="pc-moves")["Version"]
    client.update_alias(FunctionName="pc-moves", Name="live", FunctionVersion=second)
    found = client.get_provisioned_concurrency_config(FunctionName="pc-moves", Qualifier="live")
    assert (found["Status"], found["AllocatedProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", 1)
    assert settled(emulator, "pc-moves", "live") == ready(1)
    assert emulator.invoke("pc-moves", Qualifier="live").body == "provisioned-concurrency"
    assert emulator.invoke("pc-moves", Qualifier=second).body == "provisioned-concurrency"
    assert emulator.invoke("pc-moves", Qualifier=first).body == "on-demand"


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "After an invocation that failed Lambda restores the number of initialised environments.",
    source=CONCURRENCY,
)
def test_a_crashed_environment_is_replaced(emulator: Emulator):
    version = published(emulator, "pc-crash")
    provision(emulator, "pc-crash", version)
    assert emulator.invoke("pc-crash", "crash", Qualifier=version).function_error == "Unhandled"
    assert settled(emulator, "pc-crash", version)["Status"] == "READY"
    for _ in range(100):
        if settled(emulator, "pc-crash", version) == ready(1):
            break
        time.sleep(0.1)
    assert emulator.invoke("pc-crash", Qualifier=version).body == "provisioned-concurrency"
    assert len({stream for stream, message in emulator.log("pc-crash") if message.startswith("INIT_START")}) == 2


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "A provisioned init has no more CPU than memory buys; on demand it has, at any size, two vCPUs.",
    source="https://github.com/DataDog/datadog-lambda-extension/pull/700 "
    "https://lucvandonkersgoed.com/2022/04/11/bitesizedserverless",
    grade=Grade.MEASURED,
)
def test_a_provisioned_init_is_not_boosted(emulator: Emulator):
    """At 256 MB it has a seventh of a vCPU: an import that is all CPU takes about that much longer."""
    code = "sum(range(3_000_000))\ndef handler(event, context):\n    return None\n"
    version = published(emulator, "pc-slow", code, MemorySize=256)
    provision(emulator, "pc-slow", version)
    emulator.invoke("pc-slow", Qualifier=version)
    emulator.invoke("pc-slow")
    provisioned, on_demand = (report.init_duration_ms for report in emulator.reports("pc-slow"))
    assert provisioned is not None
    assert on_demand is not None
    assert quotas.INIT_VCPUS >= 1 > vcpus(256)
    assert provisioned > 3 * on_demand


def stack_template(resource: dict[str, Any], code: str = TELL, description: str = "") -> str:
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": python_runtime(),
            "Handler": "index.handler",
            "Role": "arn:aws:iam::000000000000:role/lab",
            "Code": {"ZipFile": textwrap.dedent(code)},
            "Description": description,
        },
    }
    version = {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}}
    resources = {"Function": function, f"Version{description}": version, **resource}
    outputs = {"Name": {"Value": {"Ref": "Function"}}}
    return json.dumps({"Resources": resources, "Outputs": outputs})


def live(count: int | None, version: str = "Version") -> dict[str, Any]:
    properties: dict[str, Any] = {
        "Name": "live",
        "FunctionName": {"Ref": "Function"},
        "FunctionVersion": {"Fn::GetAtt": [version, "Version"]},
    }
    if count is not None:
        properties["ProvisionedConcurrencyConfig"] = {"ProvisionedConcurrentExecutions": count}
    return {"Alias": {"Type": "AWS::Lambda::Alias", "Properties": properties}}


def deployed(emulator: Emulator, call: str, name: str, template: str) -> tuple[str, str]:
    """Create or update a stack: its status in the end, and its function's name."""
    client = emulator.client("cloudformation")
    getattr(client, f"{call}_stack")(StackName=name, TemplateBody=template)
    for _ in range(600):
        (found,) = client.describe_stacks(StackName=name)["Stacks"]
        if not found["StackStatus"].endswith("_IN_PROGRESS"):
            break
        time.sleep(0.1)
    outputs = {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", ())}
    return found["StackStatus"], outputs.get("Name", "")


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "CloudFormation waits until an alias's environments are ready; an update changes their number or takes them away.",
    source=f"{RECORDED_STACK} {LOCALSTACK}/cloudformation/resources/test_lambda.py",
    grade=Grade.RECORDED,
)
def test_a_stack_is_complete_when_its_alias_has_its_environments(emulator: Emulator):
    client = emulator.client("lambda")
    status, name = deployed(emulator, "create", "pc-alias", stack_template(live(1)))
    assert status == "CREATE_COMPLETE"

    def config() -> dict[str, Any]:
        found = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
        return {key: value for key, value in found.items() if key not in ("ResponseMetadata", "LastModified")}

    assert config() == ready(1)
    assert emulator.invoke(name, Qualifier="live").body == "provisioned-concurrency"
    moved = stack_template(live(2, "Versionnew"), description="new")
    assert deployed(emulator, "update", "pc-alias", moved)[0] == "UPDATE_COMPLETE"
    assert config() == ready(2)
    assert emulator.invoke(name, Qualifier="live").headers["x-amz-executed-version"] == "2"
    without = stack_template(live(None, "Versionnew"), description="new")
    assert deployed(emulator, "update", "pc-alias", without)[0] == "UPDATE_COMPLETE"
    assert client.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "A stack whose provisioned environments cannot initialise fails; an alias stays on the version that it had.",
    source="https://stackoverflow.com/questions/59932690/function-error-init-failure-aws-lambda",
    grade=Grade.RECORDED,
)
def test_a_stack_fails_when_the_new_version_cannot_initialise(emulator: Emulator):
    _, name = deployed(emulator, "create", "pc-bad", stack_template(live(1)))
    bad = stack_template(live(1, "Versionbad"), code=FAILS_WHEN_PROVISIONED, description="bad")
    assert deployed(emulator, "update", "pc-bad", bad)[0] == "UPDATE_ROLLBACK_COMPLETE"
    events = emulator.client("cloudformation").describe_stack_events(StackName="pc-bad")["StackEvents"]
    reasons = [event.get("ResourceStatusReason", "") for event in events]
    expected = "Provisioned Concurrency configuration failed to be applied. Reason: FUNCTION_ERROR_INIT_FAILURE"
    assert [reason for reason in reasons if expected in reason]
    assert settled(emulator, name, "live") == ready(1)
    answer = emulator.invoke(name, Qualifier="live")
    assert (answer.body, answer.headers["x-amz-executed-version"]) == ("provisioned-concurrency", "1")


@aws(
    Area.PROVISIONED_CONCURRENCY,
    "AWS::Lambda::Version takes a ProvisionedConcurrencyConfig too.",
    source=RECORDED_STACK,
    grade=Grade.RECORDED,
)
def test_a_stack_provisions_a_version(emulator: Emulator):
    version = {
        "Version": {
            "Type": "AWS::Lambda::Version",
            "Properties": {
                "FunctionName": {"Ref": "Function"},
                "ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1},
            },
        }
    }
    status, name = deployed(emulator, "create", "pc-version", stack_template(version))
    assert status == "CREATE_COMPLETE"
    assert settled(emulator, name, "1") == ready(1)
    assert emulator.invoke(name, Qualifier="1").body == "provisioned-concurrency"
    emulator.client("cloudformation").delete_stack(StackName="pc-version")


def test_a_function_whose_runtime_is_not_here_is_refused_by_its_name(emulator: Emulator):
    """Of this emulator alone: AWS has every runtime."""
    version = published(emulator, "pc-ruby", Runtime="ruby3.4")
    client = emulator.client("lambda")
    status, code, message = refusal(
        client.put_provisioned_concurrency_config,
        FunctionName="pc-ruby",
        Qualifier=version,
        ProvisionedConcurrentExecutions=1,
    )
    assert (status, code) == (400, "InvalidParameterValueException")
    assert "ruby3.4" in message
