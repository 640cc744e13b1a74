"""Says its greeting."""

import json
import os

GREETING = os.environ.get("GREETING", "hello")


def handler(event, context):
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"message": GREETING, "request_id": context.aws_request_id}),
    }
