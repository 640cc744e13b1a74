"""Everything that can be billed here: a key, the service, what it is and in which unit it is counted.

Price tables, usages and bills all speak of the same keys, so a price without a quantity or a quantity without a price
is found by its name.
"""

from __future__ import annotations

from dataclasses import dataclass

LAMBDA, API_GATEWAY, DYNAMODB, S3 = "Lambda", "API Gateway", "DynamoDB", "S3"
LOGS, SQS, EVENTBRIDGE, TRANSFER = "CloudWatch Logs", "SQS", "EventBridge", "Data transfer"

X86, ARM = "x86_64", "arm64"
ARCHITECTURES = (X86, ARM)


@dataclass(frozen=True)
class Item:
    """`standing` items cost by the time that something exists, not by how much traffic it gets."""

    key: str
    service: str
    what: str
    unit: str
    standing: bool = False


_ALL = (
    Item("lambda.requests", LAMBDA, "requests", "requests"),
    Item("lambda.duration.x86_64", LAMBDA, "duration x86_64", "GB-s"),
    Item("lambda.duration.arm64", LAMBDA, "duration arm64", "GB-s"),
    Item("lambda.ephemeral_storage", LAMBDA, "ephemeral storage above 512 MB", "GB-s"),
    Item("lambda.provisioned.requests", LAMBDA, "provisioned concurrency: requests", "requests"),
    Item("lambda.provisioned.duration.x86_64", LAMBDA, "provisioned concurrency: duration x86_64", "GB-s"),
    Item("lambda.provisioned.duration.arm64", LAMBDA, "provisioned concurrency: duration arm64", "GB-s"),
    Item("lambda.provisioned.allocated.x86_64", LAMBDA, "provisioned concurrency: allocated x86_64", "GB-s", True),
    Item("lambda.provisioned.allocated.arm64", LAMBDA, "provisioned concurrency: allocated arm64", "GB-s", True),
    Item("lambda.snapstart.cached", LAMBDA, "SnapStart: snapshots kept", "GB-s", True),
    Item("lambda.snapstart.restored", LAMBDA, "SnapStart: snapshots restored", "GB"),
    Item("apigateway.rest", API_GATEWAY, "REST API calls", "requests"),
    Item("apigateway.http", API_GATEWAY, "HTTP API calls", "requests"),
    Item("dynamodb.writes", DYNAMODB, "on-demand writes", "write units"),
    Item("dynamodb.reads", DYNAMODB, "on-demand reads", "read units"),
    Item("dynamodb.streams_reads", DYNAMODB, "streams read by others than Lambda", "read units"),
    Item("dynamodb.storage", DYNAMODB, "storage", "GB-months"),
    Item("s3.puts", S3, "PUT, COPY, POST and LIST requests", "requests"),
    Item("s3.gets", S3, "GET and other requests", "requests"),
    Item("s3.storage", S3, "storage, Standard", "GB-months"),
    Item("logs.ingested", LOGS, "logs of functions ingested", "GB"),
    Item("logs.stored", LOGS, "logs stored", "GB-months"),
    Item("logs.scanned", LOGS, "Logs Insights: data scanned", "GB"),
    Item("sqs.requests", SQS, "requests, standard queues", "requests"),
    Item("sqs.fifo_requests", SQS, "requests, FIFO queues", "requests"),
    Item("events.custom", EVENTBRIDGE, "custom events", "events"),
    Item("scheduler.invocations", EVENTBRIDGE, "Scheduler invocations", "invocations"),
    Item("transfer.out", TRANSFER, "answers sent to the internet", "GB"),
)

ITEMS: dict[str, Item] = {item.key: item for item in _ALL}
"""By key, in the order of a bill."""

SERVICES = tuple(dict.fromkeys(item.service for item in _ALL))


def duration_item(architecture: str, *, provisioned: bool = False) -> str:
    return f"lambda.provisioned.duration.{architecture}" if provisioned else f"lambda.duration.{architecture}"


def allocated_item(architecture: str) -> str:
    return f"lambda.provisioned.allocated.{architecture}"
