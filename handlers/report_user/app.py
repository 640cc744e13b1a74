"""GET /reports/users/{userId}?limit=N: a user's events per day, newest day first, at most N days (30)."""

import json
import os
import re

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

DYNAMODB = boto3.client(
    "dynamodb",
    config=Config(connect_timeout=0.3, read_timeout=1.2, retries={"mode": "standard", "total_max_attempts": 2}),
)

DEFAULT_DAYS = 30
MAX_DAYS = 100
MAX_USER_ID_BYTES = 256


def handler(event, context):
    if isinstance(event, dict) and event.get("source") == "warming":
        return {"warmed": True}
    user_id = (event.get("pathParameters") or {}).get("userId")
    if not user_id or not 1 <= _bytes(user_id) <= MAX_USER_ID_BYTES:
        return _answer(400, {"error": "invalid userId", "reason": f"userId must have 1 to {MAX_USER_ID_BYTES} bytes"})
    stated = (event.get("queryStringParameters") or {}).get("limit", str(DEFAULT_DAYS))
    if not re.fullmatch("[0-9]{1,3}", stated) or not 1 <= int(stated) <= MAX_DAYS:
        return _answer(400, {"error": "invalid limit", "reason": f"limit must be a number from 1 to {MAX_DAYS}"})
    try:
        days = _days(user_id, int(stated))
    except (BotoCoreError, ClientError) as error:
        print(json.dumps({"level": "ERROR", "message": "no report", "userId": user_id, "why": repr(error)}))
        return _answer(503, {"error": "the report cannot be read now"})
    return _answer(200, {"userId": user_id, "events": sum(day["events"] for day in days), "days": days})


def _days(user_id, limit):
    # One page is enough: a hundred of these small items are far below Query's 1 MB.
    items = DYNAMODB.query(
        TableName=os.environ["AGGREGATIONS_TABLE"],
        KeyConditionExpression="pk = :user AND begins_with(sk, :day)",
        ExpressionAttributeValues={":user": {"S": f"user#{user_id}"}, ":day": {"S": "day#"}},
        ScanIndexForward=False,
        Limit=limit,
    )["Items"]
    return [{"date": item["sk"]["S"].removeprefix("day#"), "events": int(item["events"]["N"])} for item in items]


def _bytes(text):
    """The length of `text` in UTF-8; 0 for what UTF-8 cannot hold."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return 0


def _answer(status_code, body):
    return {"statusCode": status_code, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
