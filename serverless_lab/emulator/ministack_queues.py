"""An event source mapping that reads a queue of MiniStack's.

Messages are received as by ReceiveMessage: they stay in the queue, hidden for its visibility timeout, and are deleted
when the function has handled them. Coming back, and moving on to the dead-letter queue, is the queue's own work.
"""

from __future__ import annotations

import contextvars
import json
from typing import Any

from serverless_lab import quotas
from serverless_lab.emulator.asynchronous import Ending
from serverless_lab.emulator.clock import Actor
from serverless_lab.emulator.event_sources import GatheredBatch, MappingConfig, failed_items, queue_concurrency
from serverless_lab.emulator.ministack_async import invoke_for
from serverless_lab.emulator.ministack_sources import Mapping, Tools, epoch_s, filtered, function_of, is_alive

Message = dict[str, Any]


class QueueReader:
    def __init__(self, mapping: Mapping, tools: Tools) -> None:
        self._mapping = mapping
        self._tools = tools
        self._in_work = 0
        self._active_since_ms: float | None = None
        self._batch: GatheredBatch | None = None
        self._handled: set[str] = set()
        """Receipt handles of messages that are to be deleted: by `look`, because MiniStack's queues have no lock."""

    def look(self, now_ms: float) -> None:
        queue = self._queue()
        if queue is not None and self._handled:
            self._delete(self._handled)
            self._handled = set()
        if queue is None or not is_alive(self._mapping):
            self._batch = None  # its messages become visible again
            return
        config = MappingConfig.of(self._mapping)
        while self._has_room(config, now_ms):
            self._gather(config, now_ms)
            if self._batch is None:
                break
            if not self._batch.is_due(config, now_ms):
                self._tools.look_at(self._mapping["UUID"], self._batch.opened_ms + config.window_ms)
                break
            self._send(self._batch, now_ms)
            self._batch = None
        self._look_again(queue, config, now_ms)

    def _queue(self) -> dict[str, Any] | None:
        from ministack.services import sqs

        found: dict[str, Any] | None = sqs._queue_by_arn(self._mapping["EventSourceArn"])
        return found

    def _url(self) -> str:
        from ministack.services import sqs

        found: str = sqs._queue_url(self._mapping["EventSourceArn"].rsplit(":", 1)[1])
        return found

    def _has_room(self, config: MappingConfig, now_ms: float) -> bool:
        since_ms = now_ms if self._active_since_ms is None else self._active_since_ms
        return self._in_work < queue_concurrency(config, now_ms - since_ms)

    def _gather(self, config: MappingConfig, now_ms: float) -> None:
        """Receive until the batch is full or the queue shows no more."""
        from ministack.services import sqs

        while (room := config.batch_size if self._batch is None else self._batch.room(config)) > 0:
            messages = sqs._receive_messages_for_esm(self._url(), min(room, quotas.SQS_RECEIVE_MAX_MESSAGES))
            if not messages:
                return
            events = [(message, record_of(message, self._mapping["EventSourceArn"])) for message in messages]
            kept = {id(event) for event in filtered([event for _, event in events], self._mapping)}
            self._delete({event["receiptHandle"] for _, event in events if id(event) not in kept})
            for message, event in events:
                if id(event) in kept:
                    self._batch = self._batch or GatheredBatch(now_ms)
                    self._batch.add((message, event), len(json.dumps(event)))

    def _send(self, batch: GatheredBatch, now_ms: float) -> None:
        self._in_work += 1
        if self._active_since_ms is None:
            self._active_since_ms = now_ms
        self._tools.carry(now_ms, lambda actor: self._invoke(batch, actor, 1))

    def _invoke(self, batch: GatheredBatch, actor: Actor, attempt: int) -> None:
        """Carry a batch; a throttled one is offered again until its messages are visible to others."""
        handled: set[str] | None = set()
        try:
            handled = self._offer(batch, actor, attempt)
        finally:
            if handled is not None:
                with self._tools.lock:
                    self._handled |= handled
                    self._in_work -= 1
                self._tools.look_at(self._mapping["UUID"], actor.at_ms)

    def _offer(self, batch: GatheredBatch, actor: Actor, attempt: int) -> set[str] | None:
        """Receipt handles of the messages that the function handled; None when the batch is offered again later."""
        func = function_of(self._mapping)
        if func is None:
            return set()
        # The handle that this batch was given: a message that was received again meanwhile has another.
        handles = {message["id"]: event["receiptHandle"] for message, event in batch.items}
        sent = {"Records": [event for _, event in batch.items]}
        answer = invoke_for(actor, self._tools.new_request_id(), func, sent)
        if answer.ending is Ending.THROTTLED and self._retry_throttled(batch, actor, attempt):
            return None
        failed = failed_items(MappingConfig.of(self._mapping), answer, list(handles))
        return {handle for message_id, handle in handles.items() if message_id not in failed}

    def _retry_throttled(self, batch: GatheredBatch, actor: Actor, attempt: int) -> bool:
        delay_ms = quotas.SQS_THROTTLED_RETRY_FIRST_MS * 2.0 ** (attempt - 1)
        if epoch_s() + delay_ms / 1000 >= min(message["visible_at"] for message, _ in batch.items):
            return False
        context = contextvars.copy_context()
        self._tools.clock.call_at(
            actor.at_ms + delay_ms,
            lambda now_ms: context.run(
                self._tools.carry, now_ms, lambda again: self._invoke(batch, again, attempt + 1)
            ),
            lazy=True,
        )
        return True

    def _delete(self, receipt_handles: set[str]) -> None:
        from ministack.services import sqs

        sqs._delete_messages_for_esm(self._url(), receipt_handles)

    def _look_again(self, queue: dict[str, Any], config: MappingConfig, now_ms: float) -> None:
        """When the next message becomes visible, or more batches may be in work."""
        now_s = epoch_s()
        times = [message["visible_at"] for message in list(queue["messages"]) if "visible_at" in message]
        hidden = [at_s for at_s in times if at_s > now_s]
        if hidden:
            self._tools.look_at(self._mapping["UUID"], now_ms + (min(hidden) - now_s) * 1000 + 1)
        if len(times) == len(hidden):
            if self._in_work == 0:
                self._active_since_ms = None
        elif not self._has_room(config, now_ms):
            self._tools.look_at(self._mapping["UUID"], now_ms + 60_000 / quotas.SQS_CONCURRENCY_PER_MINUTE)


def record_of(message: Message, queue_arn: str) -> dict[str, Any]:
    """A message as a function is given it.

    documented: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
    """
    sent = message.get("sys") or {}
    attributes = {
        "ApproximateReceiveCount": str(message["receive_count"]),
        "SentTimestamp": str(int(message["sent_at"] * 1000)),
        "SenderId": sent.get("SenderId", ""),
        "ApproximateFirstReceiveTimestamp": str(int(message["first_receive_at"] * 1000)),
    }
    more = {
        "AWSTraceHeader": sent.get("AWSTraceHeader"),
        "DeadLetterQueueSourceArn": sent.get("DeadLetterQueueSourceArn"),
        "SequenceNumber": message.get("seq"),
        "MessageGroupId": message.get("group_id"),
        "MessageDeduplicationId": message.get("dedup_id"),
    }
    attributes |= {name: str(value) for name, value in more.items() if value is not None}
    return {
        "messageId": message["id"],
        "receiptHandle": message["receipt_handle"],
        "body": message["body"],
        "attributes": attributes,
        "messageAttributes": {
            name: {key[:1].lower() + key[1:]: part for key, part in value.items()}
            for name, value in (message.get("message_attributes") or {}).items()
        },
        "md5OfBody": message["md5_body"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3],
    }
