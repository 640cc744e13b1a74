"""Where an accepted event goes: table and bucket in parallel; the retry queue when either refuses it."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

from boto3.dynamodb.types import TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# The function has 5 s. Both stores at their slowest (two attempts and the pause between them) and then the queue
# must end before that, or an event could be lost to the timeout without having reached the queue.
STORE_CONFIG = Config(
    connect_timeout=0.3, read_timeout=1.2, retries={"mode": "standard", "total_max_attempts": 2}, max_pool_connections=2
)
QUEUE_CONFIG = Config(connect_timeout=0.3, read_timeout=0.6, retries={"mode": "standard", "total_max_attempts": 1})

FAILURES = (BotoCoreError, ClientError)

_serialize = TypeSerializer().serialize


class Stores:
    """The three destinations. `sqs` is a function that returns the client, as it is needed only when a write fails."""

    def __init__(self, dynamodb, s3, sqs):
        self._dynamodb = dynamodb
        self._s3 = s3
        self._sqs = sqs
        self._second_thread = ThreadPoolExecutor(max_workers=1)

    def save(self, event):
        """Write `event` to both stores; what they refuse goes to the queue.

        Returns:
            "stored" or "queued".

        Raises:
            BotoCoreError, ClientError: the queue refused it too.
        """
        bucket_write = self._second_thread.submit(self._write_raw, event)
        missing = {}
        for store, write in (("table", lambda: self._write_item(event)), ("bucket", bucket_write.result)):
            try:
                write()
            except FAILURES as error:
                missing[store] = str(error)
        if not missing:
            return "stored"
        print(json.dumps({"level": "WARN", "message": "queued", "eventId": event.event_id, "failures": missing}))
        self._sqs().send_message(QueueUrl=os.environ["RETRY_QUEUE_URL"], MessageBody=_message(event, sorted(missing)))
        return "queued"

    def _write_item(self, event):
        item = {name: _serialize(value) for name, value in event.item.items()}
        try:
            self._dynamodb.put_item(
                TableName=os.environ["EVENTS_TABLE"], Item=item, ConditionExpression="attribute_not_exists(eventId)"
            )
        except ClientError as error:
            # A client that got no answer sends its eventId again: the first write counts, the second is no failure.
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def _write_raw(self, event):
        self._s3.put_object(
            Bucket=os.environ["RAW_EVENTS_BUCKET"], Key=event.raw_key, Body=event.body, ContentType="application/json"
        )


def _message(event, missing):
    # The properties are in the body already. Sending them once keeps the message under SQS's limit and their
    # numbers exact: retry-event reads them from the body again. ASCII, because SQS refuses some characters that JSON
    # allows (U+FFFE, U+FFFF); escaped, 64 KB become 192 KB at most.
    # documented: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    item = {name: value for name, value in event.item.items() if name != "properties"}
    body = event.body.decode()
    return json.dumps({"missing": missing, "rawKey": event.raw_key, "item": item, "body": body})
