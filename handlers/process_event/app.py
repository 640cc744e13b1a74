"""process-event: the events table's stream into the counters of the aggregations table.

Lambda delivers a stream record at least once. Each event's marker and its counters are written in one transaction,
so an event that comes twice is counted once.
"""

import hashlib
import json
import os
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

DYNAMODB = boto3.client(
    "dynamodb",
    config=Config(connect_timeout=0.3, read_timeout=0.6, retries={"mode": "standard", "total_max_attempts": 2}),
)
# One event takes 2.8 s at worst: two attempts and up to a second between them. With less than that left of the
# function's 5 s, the rest of the batch is handed back, so that what is done stays done.
WORST_CASE_MS = 2_800

# A day's counter of one event type is spread over this many items: transactions on one item cancel each other,
# and a busy type on a busy day is one item.
SLOTS = 8

# A stream keeps a record for 24 hours; after a week no repeat of it can come.
MARKER_SECONDS = 7 * 24 * 3600


def handler(event, context):
    if isinstance(event, dict) and event.get("source") == "warming":
        return {"warmed": True}
    for record in event.get("Records", []):
        # Items deleted by TTL come as REMOVE: they were counted when they came in.
        if record["eventName"] != "INSERT":
            continue
        if context.get_remaining_time_in_millis() < WORST_CASE_MS:
            return _from_here_again(record)
        try:
            _count(record["dynamodb"]["NewImage"])
        except (BotoCoreError, ClientError, KeyError, TypeError) as error:
            sequence_number = record["dynamodb"]["SequenceNumber"]
            print(json.dumps({"level": "ERROR", "message": "not counted", "at": sequence_number, "why": repr(error)}))
            return _from_here_again(record)
    return {"batchItemFailures": []}


def _from_here_again(record):
    # In a stream the first failure is enough: Lambda sends everything from there on again.
    # documented: https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
    return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}


def _count(image):
    event_id, user_id, event_type, day = (image[name]["S"] for name in ("eventId", "userId", "eventType", "day"))
    slot = hashlib.sha256(event_id.encode()).digest()[0] % SLOTS
    marker = {
        "pk": {"S": f"event#{event_id}"},
        "sk": {"S": "counted"},
        "expiresAt": {"N": str(int(time.time()) + MARKER_SECONDS)},
    }
    table = os.environ["AGGREGATIONS_TABLE"]
    try:
        DYNAMODB.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": table, "Item": marker, "ConditionExpression": "attribute_not_exists(pk)"}},
                _increment(table, f"day#{day}", f"type#{event_type}#{slot}"),
                _increment(table, f"day#{day}", f"user#{user_id}"),
                _increment(table, f"user#{user_id}", f"day#{day}"),
            ]
        )
    except ClientError as error:
        reasons = error.response.get("CancellationReasons") or [{}]
        if reasons[0].get("Code") != "ConditionalCheckFailed":
            raise


def _increment(table, partition, sort):
    return {
        "Update": {
            "TableName": table,
            "Key": {"pk": {"S": partition}, "sk": {"S": sort}},
            "UpdateExpression": "ADD events :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }
