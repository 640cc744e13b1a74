"""aggregate-daily: rolls a finished day's counters up into one summary item.

Counting a day's users reads one item per user: too slow for a report, fine once a night. The summary is computed
from the counters each time and replaces the one before, so running twice changes nothing.
"""

import os
from datetime import UTC, date, datetime, timedelta

import boto3
from botocore.config import Config

DYNAMODB = boto3.client(
    "dynamodb",
    config=Config(connect_timeout=0.3, read_timeout=1.2, retries={"mode": "standard", "total_max_attempts": 2}),
)


def handler(event, context):
    """Summarise the day before the event's `time` (EventBridge's own), or the day in `date` for a repeat by hand."""
    if isinstance(event, dict) and event.get("source") == "warming":
        return {"warmed": True}
    day = _day(event)
    summary = {"events": _events(day), "users": _users(day)}
    DYNAMODB.put_item(
        TableName=os.environ["AGGREGATIONS_TABLE"],
        Item={
            "pk": {"S": f"day#{day}"},
            "sk": {"S": "summary"},
            "events": {"N": str(summary["events"])},
            "users": {"N": str(summary["users"])},
            "summarisedAt": {"S": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")},
        },
    )
    return {"date": str(day), **summary}


def _day(event):
    if "date" in event:
        return date.fromisoformat(event["date"])
    # The schedule's time, not the clock's: a late or repeated delivery means the same day.
    scheduled = datetime.fromisoformat(event["time"]) if "time" in event else datetime.now(UTC)
    return (scheduled - timedelta(days=1)).date()


def _events(day):
    return sum(int(item["events"]["N"]) for page in _pages(day, "type#") for item in page["Items"])


def _users(day):
    return sum(page["Count"] for page in _pages(day, "user#", Select="COUNT"))


def _pages(day, prefix, **options):
    return DYNAMODB.get_paginator("query").paginate(
        TableName=os.environ["AGGREGATIONS_TABLE"],
        KeyConditionExpression="pk = :day AND begins_with(sk, :prefix)",
        ExpressionAttributeValues={":day": {"S": f"day#{day}"}, ":prefix": {"S": prefix}},
        **options,
    )
