"""The handlers' own world on a real MiniStack (tables, bucket, queue, parameter), and the handlers, loaded."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest

HANDLERS = Path(__file__).parents[2] / "handlers"
SETTINGS = '{"earliestTimestamp": "2015-01-01T00:00:00+00:00", "maxFutureMinutes": 1440}'


@dataclass(frozen=True)
class World:
    """What the template would create, under names of its own. `environment` is what Lambda would set."""

    endpoint: str
    environment: dict[str, str]
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        return self._clients[service]

    def event(self, event_id: str) -> dict[str, Any] | None:
        """The stored item, in DynamoDB's own JSON."""
        key = {"eventId": {"S": event_id}}
        return self.client("dynamodb").get_item(TableName=self.environment["EVENTS_TABLE"], Key=key).get("Item")

    def count(self, partition: str, sort: str) -> int:
        """A counter of the aggregations table; 0 when it is not there."""
        item = (
            self.client("dynamodb")
            .get_item(TableName=self.environment["AGGREGATIONS_TABLE"], Key={"pk": {"S": partition}, "sk": {"S": sort}})
            .get("Item")
        )
        return int(item["events"]["N"]) if item else 0

    def raw(self, event_id: str) -> list[bytes]:
        """The raw bodies kept for an event."""
        s3, bucket = self.client("s3"), self.environment["RAW_EVENTS_BUCKET"]
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="events/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return [
            s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys if key.endswith(f"/{event_id}.json")
        ]

    def queued(self) -> list[dict[str, Any]]:
        """The messages now in the retry queue, taken out of it."""
        sqs, url = self.client("sqs"), self.environment["RETRY_QUEUE_URL"]
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]


@dataclass(frozen=True)
class Context:
    """What a handler asks of Lambda's context."""

    remaining_ms: int = 5_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


@pytest.fixture(scope="module")
def world(ministack: str) -> World:
    suffix = uuid.uuid4().hex[:12]
    names = {
        "EVENTS_TABLE": f"events-{suffix}",
        "AGGREGATIONS_TABLE": f"aggregations-{suffix}",
        "RAW_EVENTS_BUCKET": f"raw-{suffix}",
        "SETTINGS_PARAMETER": f"/{suffix}/ingest-settings",
    }
    world = World(ministack, names)
    dynamodb = world.client("dynamodb")
    for table, keys in (("EVENTS_TABLE", {"eventId": "HASH"}), ("AGGREGATIONS_TABLE", {"pk": "HASH", "sk": "RANGE"})):
        dynamodb.create_table(
            TableName=names[table],
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
        )
    world.client("s3").create_bucket(Bucket=names["RAW_EVENTS_BUCKET"])
    names["RETRY_QUEUE_URL"] = world.client("sqs").create_queue(QueueName=f"retry-{suffix}")["QueueUrl"]
    world.client("ssm").put_parameter(Name=names["SETTINGS_PARAMETER"], Type="String", Value=SETTINGS)
    return world


@pytest.fixture(scope="module", autouse=True)
def lambda_environment(world: World) -> Iterator[None]:
    """The environment variables a function has: the template's and those Lambda sets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_PROFILE", raising=False)
        aws = {
            "AWS_ENDPOINT_URL": world.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        for name, value in {**world.environment, **aws}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def ingest(lambda_environment: None) -> dict[str, ModuleType]:
    """ingest-event's modules, each under its name: eager and lazy among them."""
    folder = HANDLERS / "ingest_event"
    names = ("tracking_plan", "intake", "stores", "api", "eager", "lazy")
    sys.path.insert(0, str(folder))
    try:
        return {name: importlib.import_module(name) for name in names}
    finally:
        # Short names are right in a function's own zip and wrong in a process that runs other tests as well.
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def load(lambda_environment: None) -> Any:
    """A function that loads a function folder's `app` module."""

    def load_app(folder: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"{folder}_app", HANDLERS / folder / "app.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_app
