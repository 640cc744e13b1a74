import json
import os

import boto3
from words import polite

TABLE = boto3.resource("dynamodb").Table(os.environ["TABLE"])
PRICES = boto3.resource("s3").Object(os.environ["PRICES_BUCKET"], os.environ["PRICES_KEY"])


def handler(event, context):
    if "Records" in event:
        return {"paid": len(event["Records"])}
    TABLE.put_item(Item={"id": context.aws_request_id})
    body = {
        "message": polite(os.environ["GREETING"]),
        "orders": TABLE.scan()["Count"],
        "prices": json.load(PRICES.get()["Body"]),
    }
    return {"statusCode": 200, "body": json.dumps(body)}
