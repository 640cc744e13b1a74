"""One call to a service, as AWS bills it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serverless_lab.cost.service_calls import Call, billed, item_bytes


def dynamodb(operation: str, request: Any, response: Any = None) -> dict[str, float]:
    found = billed(
        Call(
            "dynamodb",
            "POST",
            "/",
            "",
            f"DynamoDB_20120810.{operation}",
            json.dumps(request).encode(),
            json.dumps(response or {}).encode(),
        )
    )
    assert found.operation == operation
    return dict(found.units)


def item(size: int) -> dict[str, Any]:
    """An item of so many bytes: `k` is one of them."""
    return {"k": {"S": "x" * (size - 1)}}


def test_an_items_size_is_its_names_and_values():
    assert item_bytes({"name": {"S": "žluť"}}) == 4 + 6
    assert item_bytes({"n": {"N": "12345"}}) == 1 + 4
    assert item_bytes({"n": {"N": "-1"}}) == 1 + 3
    assert item_bytes({"b": {"B": "aGFsbG8="}}) == 1 + 5
    assert item_bytes({"t": {"BOOL": True}, "z": {"NULL": True}}) == 4
    assert item_bytes({"l": {"L": [{"S": "ab"}]}, "m": {"M": {"k": {"S": "ab"}}}}) == (1 + 3 + 1 + 2) + (1 + 3 + 1 + 3)
    assert item_bytes({"s": {"SS": ["ab", "c"]}}) == 1 + 3


@pytest.mark.parametrize(("size", "units"), [(2, 1), (1024, 1), (1025, 2), (3000, 3)])
def test_a_write_costs_a_unit_for_each_begun_kilobyte(size, units):
    assert dynamodb("PutItem", {"Item": item(size)}) == {"dynamodb.writes": units}


def test_what_a_put_stores_is_counted_too():
    call = Call("dynamodb", "POST", "/", "", "DynamoDB_20120810.PutItem", json.dumps({"Item": item(300)}).encode())
    assert billed(call).stored == {"dynamodb": 300}
    update = {"Key": item(10), "ExpressionAttributeValues": {":n": {"N": "1"}}}
    call = Call("dynamodb", "POST", "/", "", "DynamoDB_20120810.UpdateItem", json.dumps(update).encode())
    assert billed(call).stored == {}, "a counter that is raised takes no more room"
    assert billed(call).units == {"dynamodb.writes": 1}


@pytest.mark.parametrize(
    ("size", "consistent", "units"), [(100, False, 0.5), (100, True, 1), (4097, False, 1), (4097, True, 2)]
)
def test_a_read_costs_by_four_kilobytes_and_half_when_it_need_not_be_consistent(size, consistent, units):
    assert dynamodb("GetItem", {"Key": {}, "ConsistentRead": consistent}, {"Item": item(size)}) == {
        "dynamodb.reads": units
    }


def test_a_read_that_finds_nothing_costs_as_well():
    assert dynamodb("GetItem", {"Key": {}}) == {"dynamodb.reads": 0.5}


def test_a_query_is_billed_for_all_it_looked_at():
    """A filter takes items away after they were read."""
    request = {"KeyConditionExpression": "pk = :p"}
    assert dynamodb("Query", request, {"Items": [item(2000)] * 4, "ScannedCount": 4}) == {"dynamodb.reads": 1}
    assert dynamodb("Query", request, {"Items": [item(2000)] * 4, "ScannedCount": 8}) == {"dynamodb.reads": 2}
    assert dynamodb("Query", request, {"Items": [], "ScannedCount": 0}) == {"dynamodb.reads": 0.5}


def test_a_batch_costs_what_its_items_cost():
    writes = [{"PutRequest": {"Item": item(1500)}}, {"DeleteRequest": {"Key": item(10)}}]
    assert dynamodb("BatchWriteItem", {"RequestItems": {"table": writes}}) == {"dynamodb.writes": 3}
    asked = {"RequestItems": {"table": {"Keys": [item(10)] * 3}}}
    assert dynamodb("BatchGetItem", asked, {"Responses": {"table": [item(5000)]}}) == {"dynamodb.reads": 1 + 0.5 + 0.5}


def test_transactions_cost_double():
    actions = [
        {"Put": {"Item": item(1500)}},
        {"Update": {"Key": item(10), "ExpressionAttributeValues": {":n": {"N": "1"}}}},
        {"ConditionCheck": {"Key": item(10)}},
    ]
    assert dynamodb("TransactWriteItems", {"TransactItems": actions}) == {"dynamodb.writes": 2 * (2 + 1 + 1)}
    response = {"Responses": [{"Item": item(100)}]}
    assert dynamodb("TransactGetItems", {"TransactItems": [{}, {}]}, response) == {"dynamodb.reads": 4}


def test_calls_that_only_ask_about_tables_are_free():
    assert dynamodb("DescribeTable", {"TableName": "t"}) == {}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"Item": 5}', b'{"Item": {"a": {}}}', b'{"Item": {"a": 1}}'])
def test_what_the_service_would_refuse_costs_nothing_and_breaks_nothing(body):
    assert billed(Call("dynamodb", "POST", "/", "", "DynamoDB_20120810.PutItem", body)).units == {}


@pytest.mark.parametrize(
    ("method", "path", "query", "units"),
    [
        ("PUT", "/bucket/a/b.json", "", {"s3.puts": 1}),
        ("POST", "/bucket/a", "uploads", {"s3.puts": 1}),
        ("POST", "/bucket", "delete", {}),
        ("GET", "/bucket", "list-type=2", {"s3.puts": 1}),
        ("GET", "/bucket/a", "", {"s3.gets": 1}),
        ("HEAD", "/bucket/a", "", {"s3.gets": 1}),
        ("DELETE", "/bucket/a", "", {}),
    ],
)
def test_s3_has_dear_requests_cheap_ones_and_free_ones(method, path, query, units):
    assert billed(Call("s3", method, path, query, "")).units == units


def test_the_bytes_of_an_object_are_what_is_stored():
    assert billed(Call("s3", "PUT", "/bucket/a", "", "", request_bytes=700)).stored == {"s3": 700}
    assert billed(Call("s3", "PUT", "/bucket", "", "", request_bytes=700)).stored == {}


def test_a_message_of_more_than_64_kb_is_several_requests():
    def units(request: Any, operation: str = "SendMessage") -> dict[str, float]:
        return dict(billed(Call("sqs", "POST", "/", "", f"AmazonSQS.{operation}", json.dumps(request).encode())).units)

    url = "http://127.0.0.1:4600/000000000000/jobs"
    assert units({"QueueUrl": url, "MessageBody": "x"}) == {"sqs.requests": 1}
    assert units({"QueueUrl": url, "MessageBody": "x" * 65_537}) == {"sqs.requests": 2}
    assert units({"QueueUrl": f"{url}.fifo", "MessageBody": "x"}) == {"sqs.fifo_requests": 1}
    batch = {"QueueUrl": url, "Entries": [{"MessageBody": "x" * 60_000}] * 2}
    assert units(batch, "SendMessageBatch") == {"sqs.requests": 2}
    assert units({"QueueUrl": url}, "ReceiveMessage") == {"sqs.requests": 1}


def test_each_custom_event_counts_however_many_go_in_one_call():
    request = {"Entries": [{"Detail": "{}"}, {"Detail": "x" * 70_000}]}
    found = billed(Call("events", "POST", "/", "", "AWSEvents.PutEvents", json.dumps(request).encode()))
    assert found.units == {"events.custom": 3}
