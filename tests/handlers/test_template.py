"""The SAM template: what AWS would make of it, and that it really deploys and runs."""

from __future__ import annotations

import io
import json
import threading
import urllib.error
import urllib.request
import uuid
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .conftest import HANDLERS, World

NAMES = ["aggregate-daily", "ingest-event", "process-event", "report-daily", "report-user", "retry-event"]


def source() -> dict[str, Any]:
    from samtranslator.yaml_helper import yaml_parse

    return yaml_parse((HANDLERS / "template.yaml").read_text())


def functions(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: made["Properties"] for name, made in of_type(template, "AWS::Serverless::Function").items()}


def of_type(template: dict[str, Any], wanted: str) -> dict[str, dict[str, Any]]:
    return {name: made for name, made in template["Resources"].items() if made["Type"] == wanted}


def _equals(condition: dict[str, Any]) -> list[Any]:
    """The two sides of a condition's comparison."""
    inner = condition["Fn::Not"][0] if "Fn::Not" in condition else condition
    sides: list[Any] = inner["Fn::Equals"]
    return sides


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    """The resources after the SAM transform, as CloudFormation gets them."""
    from samtranslator.translator.transform import transform

    template = source()
    for properties in functions(template).values():
        properties["CodeUri"] = {"Bucket": "artifacts", "Key": "code.zip"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return transform(template, {}, SimpleNamespace(load=dict))


def test_the_six_functions_are_named_for_their_stack_and_sized_alike(resources: dict[str, Any]):
    """The stack's name in front keeps two stacks of one account apart; the log group follows from the name."""
    made = of_type(resources, "AWS::Lambda::Function").values()
    names = sorted(function["Properties"]["FunctionName"]["Fn::Sub"] for function in made)
    assert names == [f"${{AWS::StackName}}-{name}" for name in NAMES]
    assert {(f["Properties"]["MemorySize"], f["Properties"]["Timeout"]) for f in made} == {(512, 5)}
    for properties in functions(source()).values():
        uri = properties["CodeUri"]
        for folder in [uri] if isinstance(uri, str) else uri["Fn::If"][1:]:
            assert (HANDLERS / folder).is_dir()


def test_every_route_has_an_integration_timeout_of_3_seconds(resources: dict[str, Any]):
    """Shorter than the functions' own 5 s: this is what turns a slow cold start into a 504."""
    paths = resources["Resources"]["AnalyticsApi"]["Properties"]["Body"]["paths"]
    timeouts = {
        (method, path): definition["x-amazon-apigateway-integration"]["timeoutInMillis"]
        for path, methods in paths.items()
        for method, definition in methods.items()
    }
    assert timeouts == {
        ("post", "/events"): 3_000,
        ("get", "/reports/daily"): 3_000,
        ("get", "/reports/users/{userId}"): 3_000,
    }


def test_no_policy_of_ours_has_a_wildcard_action(resources: dict[str, Any]):
    """Each function may do what its code does, to the one resource it does it to."""
    statements = [
        statement
        for role in of_type(resources, "AWS::IAM::Role").values()
        for policy in role["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    actions = [
        action
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]
    assert len(statements) == 11
    assert not [action for action in actions if "*" in action]
    assert not [statement for statement in statements if statement["Resource"] == "*"]


def test_failed_events_have_a_second_and_a_last_place_to_go(resources: dict[str, Any]):
    """Queue, dead-letter queue, and for the stream a limit to how long one bad record blocks its shard."""
    queue = resources["Resources"]["RetryQueue"]["Properties"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["RetryDeadLetterQueue", "Arn"]}
    assert queue["VisibilityTimeout"] >= 6 * 5
    mappings = {
        name: made["Properties"] for name, made in of_type(resources, "AWS::Lambda::EventSourceMapping").items()
    }
    assert set(mappings) == {"ProcessEventStream", "RetryEventQueue"}
    assert all(mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for mapping in mappings.values())
    assert mappings["ProcessEventStream"]["BisectBatchOnFunctionError"] is True
    assert mappings["ProcessEventStream"]["MaximumRetryAttempts"] == 10


def test_the_tables_expire_by_the_attribute_the_handlers_write(resources: dict[str, Any]):
    """A TTL attribute of another name would be accepted and would delete nothing."""
    for table in of_type(resources, "AWS::DynamoDB::Table").values():
        assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}
        assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    for folder in ("ingest_event/intake.py", "process_event/app.py"):
        assert '"expiresAt"' in (HANDLERS / folder).read_text()


def test_conditions_compare_quoted_strings_only():
    """LocalStack compares types too: an unquoted 0 beside a parameter that was passed is never equal to it."""
    template = source()
    compared = [side for condition in template["Conditions"].values() for side in _equals(condition)]
    assert all(isinstance(side, (str, dict)) for side in compared)
    assert all(isinstance(entry["Default"], str) for entry in template["Parameters"].values())


class Stack:
    """The template on MiniStack."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.name = f"analytics-{uuid.uuid4().hex[:12]}"
        self._cloudformation = world.client("cloudformation")
        self._template = json.dumps(_with_uploaded_code(world, self.name))

    def create(self) -> str:
        return self._apply(self._cloudformation.create_stack, {})

    def update(self, parameters: dict[str, str]) -> str:
        return self._apply(self._cloudformation.update_stack, parameters)

    def outputs(self) -> dict[str, str]:
        stack = self._cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        url = f"{self.world.endpoint}/_aws/execute-api/{self.outputs()['ApiId']}/prod{path}"
        request = urllib.request.Request(url, data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def _apply(self, operation: Any, parameters: dict[str, str]) -> str:
        operation(
            StackName=self.name,
            TemplateBody=self._template,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        )
        return eventually(
            lambda: self._cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"],
            lambda status: not status.endswith("IN_PROGRESS"),
        )


def _with_uploaded_code(world: World, bucket: str) -> dict[str, Any]:
    import yaml

    s3 = world.client("s3")
    s3.create_bucket(Bucket=bucket)
    template = source()
    for properties in functions(template).values():
        uri = properties["CodeUri"]  # the default language's, where there are two
        folder = HANDLERS / (uri if isinstance(uri, str) else uri["Fn::If"][2])
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        if "requirements.txt" in files:
            package = Path(yaml.__file__).parent
            files |= {f"yaml/{path.name}": path.read_bytes() for path in package.glob("*.py")}
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
            for name, content in files.items():
                bundle.writestr(name, content)
        s3.put_object(Bucket=bucket, Key=f"{folder.name}.zip", Body=archive.getvalue())
        properties["CodeUri"] = {"Bucket": bucket, "Key": f"{folder.name}.zip"}
    return template


def eventually(read: Any, enough: Any) -> Any:
    """What `read` gives once it is `enough`, or at last after 30 s."""
    pause = threading.Event()
    value = read()
    for _ in range(300):
        if enough(value):
            break
        pause.wait(0.1)
        value = read()
    return value


@pytest.mark.process
def test_the_template_deploys_counts_an_event_and_switches_its_init_style(world: World):
    """The whole mission once: POST, stream, counters, report; then lazy, warming and provisioned by an update."""
    stack = Stack(world)
    assert stack.create() == "CREATE_COMPLETE"
    function = stack.outputs()["IngestEventFunction"]
    assert function == f"{stack.name}-ingest-event"

    event = json.dumps({"userId": "ana b", "eventType": "page_view", "properties": {"url": "/"}}).encode()
    assert stack.call("POST", "/events", event)[0] == 202
    assert stack.call("POST", "/events", b"null")[0] == 400
    report = eventually(lambda: stack.call("GET", "/reports/daily"), lambda answer: answer[1]["events"] > 0)
    assert report[1]["byType"] == {"page_view": 1}
    assert stack.call("GET", "/reports/users/ana%20b?limit=1")[1]["events"] == 1

    awslambda = world.client("lambda")
    before = awslambda.get_function_configuration(FunctionName=function, Qualifier="live")
    assert before["Handler"] == "eager.handler"
    mitigations = {"InitStyle": "lazy", "WarmingSchedule": "rate(5 minutes)", "ProvisionedConcurrency": "2"}
    assert stack.update(mitigations) == "UPDATE_COMPLETE"
    after = awslambda.get_function_configuration(FunctionName=function, Qualifier="live")
    # The alias moved: callers would otherwise keep the old init style, whatever the parameter says.
    assert after["Handler"] == "lazy.handler"
    assert after["Version"] != before["Version"]
    assert stack.call("POST", "/events", event)[0] == 202
    rules = world.client("events").list_rules(NamePrefix=stack.name)["Rules"]
    assert "rate(5 minutes)" in [rule["ScheduleExpression"] for rule in rules]
    provisioned = awslambda.get_provisioned_concurrency_config(FunctionName=function, Qualifier="live")
    assert provisioned["RequestedProvisionedConcurrentExecutions"] == 2
