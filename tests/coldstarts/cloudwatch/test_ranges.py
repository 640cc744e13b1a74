"""Which log groups are read, what is told of a stretch of time, and what reading it would take.

Answers are written by hand and validated by botocore's models; nothing was recorded from AWS.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from serverless_lab.coldstarts import read_log_groups
from serverless_lab.coldstarts.cloudwatch.volume import INSIGHTS_FROM_S, measure, scan_price
from serverless_lab.coldstarts.log_reports import log_groups_of, read_range
from serverless_lab.errors import BadInput
from tests.coldstarts.cloudwatch.service import LogService, VirtualTime
from tests.coldstarts.cloudwatch.test_reading import GROUP, LONG_AGO, reader
from tests.coldstarts.story import T0, Environment

HOUR_MS = 3_600_000


class Stubs:
    """A target whose clients answer what they are told to, in that order, and refuse any other request."""

    name, region, endpoint_url = "aws", "eu-west-1", None

    def __init__(self, *services: str) -> None:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.clients = {name: boto3.client(name, region_name=self.region, **keys) for name in services}
        self.stubs = {name: Stubber(client) for name, client in self.clients.items()}
        for stub in self.stubs.values():
            stub.activate()

    def client(self, service: str) -> Any:
        return self.clients[service]


def resource(kind: str, physical_id: str) -> dict[str, Any]:
    return {
        "LogicalResourceId": "X",
        "PhysicalResourceId": physical_id,
        "ResourceType": kind,
        "LastUpdatedTimestamp": datetime(2026, 11, 24, tzinfo=UTC),
        "ResourceStatus": "CREATE_COMPLETE",
    }


def stack_of_three(target: Stubs) -> None:
    nested = "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop-Nested/1"
    outer = [
        resource("AWS::Lambda::Function", "shop-Orders"),
        resource("AWS::S3::Bucket", "shop-bucket"),
        resource("AWS::CloudFormation::Stack", nested),
        {**resource("AWS::Lambda::Function", "shop-Gone"), "ResourceStatus": "DELETE_COMPLETE"},
    ]
    stub = target.stubs["cloudformation"]
    stub.add_response("list_stack_resources", {"StackResourceSummaries": outer}, {"StackName": "shop"})
    inner = [resource("AWS::Lambda::Function", "shop-Mail")]
    stub.add_response("list_stack_resources", {"StackResourceSummaries": inner}, {"StackName": nested})


def test_the_functions_of_a_stack_and_of_its_nested_stacks_are_found_with_their_log_groups() -> None:
    target = Stubs("cloudformation", "lambda")
    stack_of_three(target)
    stub = target.stubs["lambda"]
    custom = {"FunctionName": "shop-Mail", "LoggingConfig": {"LogFormat": "JSON", "LogGroup": "/custom"}}
    stub.add_response("get_function_configuration", custom, {"FunctionName": "shop-Mail"})
    plain = {"FunctionName": "shop-Orders"}
    stub.add_response("get_function_configuration", plain, {"FunctionName": "shop-Orders"})
    found = log_groups_of(target, stack="shop")  # type: ignore[arg-type]
    assert found == {"/custom": "shop-Mail", "/aws/lambda/shop-Orders": "shop-Orders"}


def test_of_a_stack_one_function_may_be_chosen_and_one_that_it_has_not_is_named() -> None:
    target = Stubs("cloudformation", "lambda")
    stack_of_three(target)
    answer = {"FunctionName": "shop-Mail"}
    target.stubs["lambda"].add_response("get_function_configuration", answer, {"FunctionName": "shop-Mail"})
    assert list(log_groups_of(target, stack="shop", functions=["Mail"]).values()) == ["shop-Mail"]  # type: ignore[arg-type]
    stack_of_three(target)
    with pytest.raises(BadInput, match="`Nobody`") as refused:
        log_groups_of(target, stack="shop", functions=["Nobody"])  # type: ignore[arg-type]
    assert refused.value.hint == "its functions: shop-Mail, shop-Orders"


# --- volume ----------------------------------------------------------------------------------------------------------


def test_the_metrics_say_how_much_there_is_and_what_insights_would_cost() -> None:
    target = Stubs("cloudwatch", "logs")
    stub = target.stubs["cloudwatch"]
    first = {"MetricDataResults": [{"Id": "e0", "Values": [9e6, 1e6]}, {"Id": "b0", "Values": [2e9]}], "NextToken": "n"}
    stub.add_response("get_metric_data", first)
    stub.add_response("get_metric_data", {"MetricDataResults": [{"Id": "b0", "Values": [4e9]}]})
    clients = target.client("cloudwatch"), target.client("logs")
    found = measure(*clients, [GROUP], T0, T0 + HOUR_MS, T0 + HOUR_MS)
    assert found is not None
    assert (found.events, found.bytes, found.is_bound) == ({GROUP: 10_000_000}, 6_000_000_000, False)
    assert found.pages_s == 1_200 > INSIGHTS_FROM_S, "six thousand pages of a megabyte, five a second"
    assert found.gigabytes == 6
    assert scan_price("us-east-1") == Decimal("0.005")
    assert scan_price("nowhere-1") is None


def test_without_leave_to_see_metrics_the_groups_size_is_the_most_there_can_be() -> None:
    """AWS does not say whether `storedBytes` counts what is scanned, or that compressed to a fifth."""
    target = Stubs("cloudwatch", "logs")
    target.stubs["cloudwatch"].add_client_error("get_metric_data", "AccessDenied")
    groups = [{"logGroupName": GROUP, "storedBytes": 5_000}, {"logGroupName": GROUP + "-2", "storedBytes": 7_000}]
    target.stubs["logs"].add_response("describe_log_groups", {"logGroups": groups})
    clients = target.client("cloudwatch"), target.client("logs")
    found = measure(*clients, [GROUP], T0, T0 + HOUR_MS, T0 + HOUR_MS)
    assert found is not None
    assert (found.bytes, found.is_bound) == (25_000, True)
    target.stubs["cloudwatch"].add_client_error("get_metric_data", "AccessDenied")
    target.stubs["logs"].add_client_error("describe_log_groups", "AccessDeniedException")
    assert measure(*clients, [GROUP], T0, T0 + HOUR_MS, T0 + HOUR_MS) is None


def test_of_a_time_that_the_metrics_have_forgotten_they_are_not_asked() -> None:
    """They would say that there was nothing, and a log is kept for longer than 455 days."""
    target = Stubs("cloudwatch", "logs")
    target.stubs["logs"].add_response("describe_log_groups", {"logGroups": [{"logGroupName": GROUP, "storedBytes": 9}]})
    clients = target.client("cloudwatch"), target.client("logs")
    found = measure(*clients, [GROUP], T0, T0 + HOUR_MS, T0 + 455 * 24 * HOUR_MS)
    assert found is not None
    assert found.is_bound


# --- what began in a time --------------------------------------------------------------------------------------------


def service_of(*environments: Environment) -> LogService:
    made = LogService(VirtualTime(), per_page=4)
    for environment in environments:
        for event in environment.events:
            made.put(GROUP, event.log_stream, event.timestamp_ms or 0, event.message)
    return made


def test_what_began_in_the_time_counts_with_a_report_behind_it_and_a_reset_before_it() -> None:
    over_the_end = Environment(now=T0 + 1_000).cold(1).wait(7_000).invoke(2, 5_000.0)
    reset = Environment(now=T0 - 60_000).cold(3).invoke(4, 3_000.0, status="timeout").wait(57_000).invoke(5, 300.0)
    after = Environment(now=T0 + 30_000).cold(6)
    service = service_of(over_the_end, reset, after)
    inside, whole = read_range(reader(service), {GROUP: "orders"}, T0, T0 + 10_000, now_ms=LONG_AGO)
    kinds = dict(zip(inside.frame["request_id"].str[:8].astype(int), inside.frame["kind"], strict=True))
    assert kinds == {1: "cold", 2: "warm", 5: "init-repeated"}
    assert set(whole.frame["request_id"]) >= set(inside.frame["request_id"])
    assert inside.unfinished == ()


def test_scripts_read_log_groups_as_a_frame(tmp_path: Any) -> None:
    service = service_of(Environment(now=T0).cold(1).invoke(2))
    asked = []
    for _ in range(2):
        service.calls.clear()
        frame = read_log_groups(
            service.client(), [GROUP, "/aws/lambda/never"], T0, T0 + 10_000, keep=tmp_path, per_second=None
        )
        assert list(frame["kind"]) == ["cold", "warm"]
        assert frame.attrs == {"missing_groups": ["/aws/lambda/never"], "unfinished": 0}
        asked.append({request["logGroupName"] for _, request in service.calls})
    assert asked == [{GROUP, "/aws/lambda/never"}, {"/aws/lambda/never"}], "what was read is not read again"
