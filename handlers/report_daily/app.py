"""GET /reports/daily?date=YYYY-MM-DD: the day's events, in all and by type. Without a date, today in UTC."""

import json
import os
import re
from collections import Counter
from datetime import UTC, date, datetime

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

DYNAMODB = boto3.client(
    "dynamodb",
    config=Config(connect_timeout=0.3, read_timeout=1.2, retries={"mode": "standard", "total_max_attempts": 2}),
)


def handler(event, context):
    if isinstance(event, dict) and event.get("source") == "warming":
        return {"warmed": True}
    stated = (event.get("queryStringParameters") or {}).get("date")
    try:
        day = _day(stated)
    except ValueError:
        return _answer(400, {"error": "invalid date", "reason": "date must be a calendar date as YYYY-MM-DD"})
    try:
        return _answer(200, _report(day))
    except (BotoCoreError, ClientError) as error:
        print(json.dumps({"level": "ERROR", "message": "no report", "date": str(day), "why": repr(error)}))
        return _answer(503, {"error": "the report cannot be read now"})


def _day(stated):
    if stated is None:
        return datetime.now(UTC).date()
    # fromisoformat alone would take 20260101 and 2026-W01-1 as well.
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", stated):
        raise ValueError(stated)
    return date.fromisoformat(stated)


def _report(day):
    by_type = Counter()
    summary = None
    # A day's summary and counters by type sort beside each other; its users, which are many, come after them.
    # "$" is the character after "#", so the range ends behind the last type#...
    pages = DYNAMODB.get_paginator("query").paginate(
        TableName=os.environ["AGGREGATIONS_TABLE"],
        KeyConditionExpression="pk = :day AND sk BETWEEN :first AND :last",
        ExpressionAttributeValues={
            ":day": {"S": f"day#{day}"},
            ":first": {"S": "summary"},
            ":last": {"S": "type$"},
        },
    )
    for page in pages:
        for item in page["Items"]:
            key = item["sk"]["S"]
            if key == "summary":
                summary = {
                    "events": int(item["events"]["N"]),
                    "users": int(item["users"]["N"]),
                    "summarisedAt": item["summarisedAt"]["S"],
                }
            else:
                # type#<event type>#<slot>: an event type may itself contain a #.
                by_type[key.removeprefix("type#").rpartition("#")[0]] += int(item["events"]["N"])
    return {"date": str(day), "events": by_type.total(), "byType": dict(sorted(by_type.items())), "summary": summary}


def _answer(status_code, body):
    return {"statusCode": status_code, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
