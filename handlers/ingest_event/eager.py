"""ingest-event, eager: everything is made ready in the Init phase, whether the first request needs it or not.

This is how many functions grow: each line was added for a reason, all of them run before the first answer.
`lazy.py` is the same function with the same answers.
"""

import os

import api
import boto3
import stores
import tracking_plan

DYNAMODB = boto3.client("dynamodb", config=stores.STORE_CONFIG)
S3 = boto3.client("s3", config=stores.STORE_CONFIG)
SQS = boto3.client("sqs", config=stores.QUEUE_CONFIG)
SSM = boto3.client("ssm", config=stores.STORE_CONFIG)

PLAN = tracking_plan.from_yaml()
SETTINGS = api.read_settings(SSM, os.environ["SETTINGS_PARAMETER"])
DESTINATIONS = stores.Stores(DYNAMODB, S3, lambda: SQS)


def handler(event, context):
    if api.is_warming_ping(event):
        return {"warmed": True}
    return api.ingest(event, lambda: PLAN, lambda: SETTINGS, lambda: DESTINATIONS)
