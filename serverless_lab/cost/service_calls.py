"""What AWS bills for one call to a service: the rules by which requests become units.

* DynamoDB, documented: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html and
  CapacityUnitCalculations.html. A write costs a unit for each begun 1 KB of the item, a strongly consistent read one
  for each begun 4 KB and an eventually consistent one half of that; transactions cost double.
* S3, documented: https://docs.aws.amazon.com/AmazonS3/latest/userguide/aws-usage-report-understand.html. PUT, COPY,
  POST and LIST are the dear requests, deletions are free, all others are the cheap ones.
* SQS and EventBridge: each begun 64 KB is a request or an event (https://aws.amazon.com/sqs/pricing/).

What only the table knows is left out: an UpdateItem or DeleteItem is billed by the whole item, of which the call shows
a part, and writes of a table go to its global secondary indexes as well. Such calls count as what they show, at least
one unit.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4 * 1024
MESSAGE_UNIT_BYTES = 64 * 1024

DYNAMODB_SERVICE, S3_SERVICE, SQS_SERVICE, EVENTS_SERVICE = "dynamodb", "s3", "sqs", "events"
COUNTED = frozenset({DYNAMODB_SERVICE, S3_SERVICE, SQS_SERVICE, EVENTS_SERVICE})
"""Services, by the name that requests are signed with, whose calls cost something that is priced here."""

READS_BODIES = frozenset({DYNAMODB_SERVICE, SQS_SERVICE, EVENTS_SERVICE})
"""Of those, the ones whose units depend on what a call says."""

S3_BYTES, DYNAMODB_BYTES = "s3", "dynamodb"


@dataclass(frozen=True)
class Billed:
    """`units` by item key; `stored` is how many bytes the call put somewhere to stay, by service."""

    operation: str
    units: Mapping[str, float] = field(default_factory=dict)
    stored: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One call as it went over the wire. `target` is the header X-Amz-Target; bodies that do not count are b""."""

    service: str
    method: str
    path: str
    query: str
    target: str
    request: bytes = b""
    response: bytes = b""
    request_bytes: int = 0


def billed(call: Call) -> Billed:
    """What `call` costs, in units; nothing that cannot be read raises."""
    if call.service == S3_SERVICE:
        return _s3(call)
    operation = call.target.rpartition(".")[2] or call.method
    request, response = _document(call.request), _document(call.response)
    rule = _RULES.get((call.service, operation))
    try:
        return Billed(operation) if rule is None else rule(operation, request, response)
    except (AttributeError, TypeError, ValueError, KeyError, RecursionError):
        # Not what the API takes: the service has refused it.
        return Billed(operation)


# --- S3 --------------------------------------------------------------------------------------------------------------


def _s3(call: Call) -> Billed:
    has_key = bool(call.path.strip("/").partition("/")[2])
    match call.method:
        case "PUT" | "POST":
            if call.method == "POST" and "delete" in _query_names(call.query):
                return Billed("DELETE")
            return Billed(call.method, {"s3.puts": 1}, {S3_BYTES: call.request_bytes} if has_key else {})
        case "GET" if not has_key:
            return Billed("LIST", {"s3.puts": 1})
        case "DELETE":
            return Billed("DELETE")
        case _:
            return Billed(call.method, {"s3.gets": 1})


def _query_names(query: str) -> set[str]:
    return {part.partition("=")[0] for part in query.split("&")}


# --- DynamoDB --------------------------------------------------------------------------------------------------------


def item_bytes(item: Mapping[str, Any]) -> int:
    """An item's size as DynamoDB counts it: names and values, in the JSON of its API."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_bytes(content)
        case "B":
            return _binary_bytes(content)
        case "SS":
            return sum(len(text.encode()) for text in content)
        case "NS":
            return sum(map(_number_bytes, content))
        case "BS":
            return sum(map(_binary_bytes, content))
        case "L":
            return 3 + sum(1 + _value_bytes(one) for one in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value_bytes(one) for name, one in content.items())
        case _:
            return 1


def _number_bytes(text: str) -> int:
    """documented: about one byte for two significant digits, and one more."""
    digits = text.lower().partition("e")[0].replace(".", "").lstrip("-+0").rstrip("0")
    return math.ceil(len(digits) / 2) + 1 + text.startswith("-")


def _binary_bytes(text: str) -> int:
    try:
        return len(base64.b64decode(text))
    except (binascii.Error, ValueError):
        return len(text)


def _write_units(size: int) -> int:
    return max(1, math.ceil(size / WRITE_UNIT_BYTES))


def _read_units(size: int, consistent: bool) -> float:
    units = max(1, math.ceil(size / READ_UNIT_BYTES))
    return float(units) if consistent else units / 2


def _written(
    operation: str,
    puts: Iterable[Mapping[str, Any]] = (),
    updates: Iterable[Mapping[str, Any]] = (),
    others: int = 0,
    times: int = 1,
) -> Billed:
    """Only what is put is new: an update mostly changes an item that is there."""
    stored = [item_bytes(item) for item in puts]
    units = sum(map(_write_units, [*stored, *map(item_bytes, updates)])) + others
    return Billed(operation, {"dynamodb.writes": units * times}, {DYNAMODB_BYTES: sum(stored)} if stored else {})


def _put_item(operation: str, request: Any, response: Any) -> Billed:
    return _written(operation, puts=[request["Item"]])


def _update_item(operation: str, request: Any, response: Any) -> Billed:
    return _written(operation, updates=[_shown(request)])


def _delete_item(operation: str, request: Any, response: Any) -> Billed:
    return _written(operation, others=1)


def _batch_write(operation: str, request: Any, response: Any) -> Billed:
    writes = [write for of_table in request["RequestItems"].values() for write in of_table]
    items = [write["PutRequest"]["Item"] for write in writes if "PutRequest" in write]
    return _written(operation, puts=items, others=len(writes) - len(items))


def _transact_write(operation: str, request: Any, response: Any) -> Billed:
    actions = request["TransactItems"]
    puts = [action["Put"]["Item"] for action in actions if "Put" in action]
    updates = [_shown(action["Update"]) for action in actions if "Update" in action]
    return _written(operation, puts, updates, len(actions) - len(puts) - len(updates), times=2)


def _shown(update: Any) -> dict[str, Any]:
    """What an update shows of its item: the key and the new values."""
    values = update.get("ExpressionAttributeValues") or {}
    return {**update["Key"], **{name.lstrip(":"): value for name, value in values.items()}}


def _get_item(operation: str, request: Any, response: Any) -> Billed:
    units = _read_units(item_bytes(response.get("Item") or {}), bool(request.get("ConsistentRead")))
    return Billed(operation, {"dynamodb.reads": units})


def _query(operation: str, request: Any, response: Any) -> Billed:
    """Billed by what was looked at, which is more than what came back where a filter took some away."""
    items = response.get("Items") or []
    size = sum(map(item_bytes, items))
    if items and (response.get("ScannedCount") or 0) > len(items):
        size = size * response["ScannedCount"] // len(items)
    return Billed(operation, {"dynamodb.reads": _read_units(size, bool(request.get("ConsistentRead")))})


def _batch_get(operation: str, request: Any, response: Any) -> Billed:
    units = 0.0
    found = response.get("Responses") or {}
    for table, asked in request["RequestItems"].items():
        consistent = bool(asked.get("ConsistentRead"))
        sizes = [item_bytes(item) for item in found.get(table) or ()]
        sizes += [0] * (len(asked["Keys"]) - len(sizes))
        units += sum(_read_units(size, consistent) for size in sizes)
    return Billed(operation, {"dynamodb.reads": units})


def _transact_get(operation: str, request: Any, response: Any) -> Billed:
    sizes = [item_bytes(one.get("Item") or {}) for one in response.get("Responses") or ()]
    sizes += [0] * (len(request["TransactItems"]) - len(sizes))
    return Billed(operation, {"dynamodb.reads": 2 * sum(_read_units(size, True) for size in sizes)})


def _stream_read(operation: str, request: Any, response: Any) -> Billed:
    return Billed(operation, {"dynamodb.streams_reads": 1})


# --- SQS and EventBridge ---------------------------------------------------------------------------------------------


def _queue_item(queue_url: str) -> str:
    return "sqs.fifo_requests" if queue_url.endswith(".fifo") else "sqs.requests"


def _send(operation: str, request: Any, response: Any) -> Billed:
    entries = request.get("Entries", [request])
    size = sum(len(entry["MessageBody"].encode()) for entry in entries)
    return Billed(operation, {_queue_item(request["QueueUrl"]): max(1, math.ceil(size / MESSAGE_UNIT_BYTES))})


def _queue_request(operation: str, request: Any, response: Any) -> Billed:
    return Billed(operation, {_queue_item(request["QueueUrl"]): 1})


def _put_events(operation: str, request: Any, response: Any) -> Billed:
    sizes = [len((entry.get("Detail") or "").encode()) for entry in request["Entries"]]
    return Billed(operation, {"events.custom": sum(max(1, math.ceil(size / MESSAGE_UNIT_BYTES)) for size in sizes)})


_Rule = Callable[[str, Any, Any], Billed]

_RULES: dict[tuple[str, str], _Rule] = {
    (DYNAMODB_SERVICE, "PutItem"): _put_item,
    (DYNAMODB_SERVICE, "UpdateItem"): _update_item,
    (DYNAMODB_SERVICE, "DeleteItem"): _delete_item,
    (DYNAMODB_SERVICE, "BatchWriteItem"): _batch_write,
    (DYNAMODB_SERVICE, "TransactWriteItems"): _transact_write,
    (DYNAMODB_SERVICE, "GetItem"): _get_item,
    (DYNAMODB_SERVICE, "Query"): _query,
    (DYNAMODB_SERVICE, "Scan"): _query,
    (DYNAMODB_SERVICE, "BatchGetItem"): _batch_get,
    (DYNAMODB_SERVICE, "TransactGetItems"): _transact_get,
    (DYNAMODB_SERVICE, "GetRecords"): _stream_read,
    (SQS_SERVICE, "SendMessage"): _send,
    (SQS_SERVICE, "SendMessageBatch"): _send,
    **{
        (SQS_SERVICE, operation): _queue_request
        for operation in (
            "ReceiveMessage",
            "DeleteMessage",
            "DeleteMessageBatch",
            "ChangeMessageVisibility",
            "ChangeMessageVisibilityBatch",
            "GetQueueAttributes",
        )
    },
    (EVENTS_SERVICE, "PutEvents"): _put_events,
}


def _document(body: bytes) -> Any:
    if not body:
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
