"""ingest-event, lazy: Init makes ready what every event needs, the rest waits until it is needed.

The two clients every event is written with stay in Init, where AWS lends on-demand environments more CPU. The compiled
tracking plan replaces YAML, and with it the YAML parser. The settings wait for the first event with a timestamp of its
own, the queue's client for the first write that fails.
"""

import os
from functools import cache

import api
import boto3
import stores
import tracking_plan

DYNAMODB = boto3.client("dynamodb", config=stores.STORE_CONFIG)
S3 = boto3.client("s3", config=stores.STORE_CONFIG)


@cache
def plan():
    return tracking_plan.from_json()


@cache
def settings():
    return api.read_settings(boto3.client("ssm", config=stores.STORE_CONFIG), os.environ["SETTINGS_PARAMETER"])


@cache
def sqs():
    return boto3.client("sqs", config=stores.QUEUE_CONFIG)


@cache
def destinations():
    return stores.Stores(DYNAMODB, S3, sqs)


def handler(event, context):
    if api.is_warming_ping(event):
        return {"warmed": True}
    return api.ingest(event, plan, settings, destinations)
