"""retry-event: does again the store writes that ingest-event could not do.

A message names the stores that are missing. Both writes may safely happen twice. A message that keeps failing goes to
the dead-letter queue by the queue's redrive policy.
"""

import json
import os
from decimal import Decimal

import boto3
from boto3.dynamodb.types import TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CONFIG = Config(connect_timeout=0.3, read_timeout=1.2, retries={"mode": "standard", "total_max_attempts": 2})
DYNAMODB = boto3.client("dynamodb", config=CONFIG)
S3 = boto3.client("s3", config=CONFIG)

_serialize = TypeSerializer().serialize


def handler(event, context):
    if isinstance(event, dict) and event.get("source") == "warming":
        return {"warmed": True}
    failures = []
    for record in event.get("Records", []):
        try:
            _store(json.loads(record["body"]))
        except (BotoCoreError, ClientError, ValueError, KeyError, TypeError, AttributeError) as error:
            print(
                json.dumps({"level": "ERROR", "message": "not stored", "at": record["messageId"], "why": repr(error)})
            )
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _store(message):
    body = message["body"]
    if "bucket" in message["missing"]:
        S3.put_object(
            Bucket=os.environ["RAW_EVENTS_BUCKET"],
            Key=message["rawKey"],
            Body=body.encode(),
            ContentType="application/json",
        )
    if "table" in message["missing"]:
        item = {**message["item"], "properties": json.loads(body, parse_float=Decimal).get("properties") or {}}
        try:
            DYNAMODB.put_item(
                TableName=os.environ["EVENTS_TABLE"],
                Item={name: _serialize(value) for name, value in item.items()},
                ConditionExpression="attribute_not_exists(eventId)",
            )
        except ClientError as error:
            # The first attempt may have arrived after all, its answer lost.
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
