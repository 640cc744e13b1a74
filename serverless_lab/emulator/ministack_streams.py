"""An event source mapping that reads a DynamoDB stream of MiniStack's: one shard, read in one or more lanes."""

from __future__ import annotations

import datetime
import functools
import json
from typing import Any

from serverless_lab.emulator import ministack_destinations as destinations
from serverless_lab.emulator.asynchronous import Answer, Ending
from serverless_lab.emulator.clock import Actor
from serverless_lab.emulator.event_sources import (
    Discarded,
    Lane,
    MappingConfig,
    StreamBatch,
    StreamRecord,
    lane_of,
    stream_failure_record,
)
from serverless_lab.emulator.ministack_async import invoke_for, on_event_loop
from serverless_lab.emulator.ministack_sources import (
    FAILED,
    SUCCEEDED,
    Mapping,
    Tools,
    epoch_s,
    filtered,
    function_of,
    is_alive,
)

SHARD_ID = "shardId-00000000000000000000-00000000"
"""MiniStack's stream of a table has one shard."""

LOOK_AHEAD = 10_000
"""How many records are looked at for the next batch of a lane."""


class StreamReader:
    def __init__(self, mapping: Mapping, tools: Tools) -> None:
        self._mapping = mapping
        self._tools = tools
        self._lanes: list[Lane] = []
        self._positions: list[int] = []
        """Of each lane: the first record it has not taken, or passed over as somebody else's."""
        self._sizes: dict[str, int] = {}
        """By sequence number, of the records looked at and not taken yet: in bytes, as JSON."""

    def look(self, now_ms: float) -> None:
        if self._table() is None or not is_alive(self._mapping):
            return
        config = MappingConfig.of(self._mapping)
        self._have_lanes(config.lanes)
        dealt = len(self._lanes) == config.lanes
        for number, lane in enumerate(self._lanes):
            if dealt or lane.waiting:  # else it comes to rest, until the records are dealt anew
                self._advance(number, lane, config, now_ms)

    def _table(self) -> str | None:
        """The table's name, while the stream is its latest."""
        from ministack.services import dynamodb

        name = self._mapping["EventSourceArn"].split("/stream/")[0].rpartition("/")[2]
        table = dynamodb._tables.get(name)
        latest = table is not None and table.get("LatestStreamArn") == self._mapping["EventSourceArn"]
        return name if latest else None

    def _have_lanes(self, count: int) -> None:
        """Another ParallelizationFactor deals the records anew, once the lanes that there were are idle."""
        from ministack.services import dynamodb, lambda_svc

        if len(self._lanes) == count or any(lane.busy or lane.waiting for lane in self._lanes):
            return
        if self._positions:
            start = min(self._positions)
        else:
            start = lambda_svc._dynamodb_stream_positions.get(self._mapping["UUID"])
            if start is None:
                start = dynamodb.stream_start_position(self._table())
        self._lanes = [Lane() for _ in range(count)]
        self._positions = [start] * count

    def _advance(self, number: int, lane: Lane, config: MappingConfig, now_ms: float) -> None:
        """Do what the lane wants, until it waits for something."""
        while not lane.busy:
            available, places = ([], []) if lane.waiting else self._available(number, config, now_ms)
            step = lane.next(available, config, now_ms)
            if step.taken:
                self._positions[number] = places[step.taken - 1] + 1
                for record in available[: step.taken]:
                    self._sizes.pop(record.sequence_number, None)
            if step.discarded is not None:
                self._give_up(step.discarded, config, now_ms)
            if step.batch is not None:
                self._tools.carry(now_ms, functools.partial(self._invoke, lane, step.batch))
                return
            if step.look_again_ms is None:
                return
            if step.look_again_ms > now_ms:
                self._tools.look_at(self._mapping["UUID"], step.look_again_ms)
                return

    def _available(self, number: int, config: MappingConfig, now_ms: float) -> tuple[list[StreamRecord], list[int]]:
        """The records of this lane that are not taken yet and that the filter lets through, and their places."""
        from ministack.services import dynamodb

        table = self._table()
        start = max(self._positions[number], dynamodb.stream_start_position(table))
        if start > self._positions[number]:
            self._sizes.clear()  # records have left the stream untaken
        look_ahead = LOOK_AHEAD if len(self._lanes) > 1 or self._mapping.get("FilterCriteria") else config.batch_size
        events = dynamodb.stream_records_since(table, start, look_ahead)
        mine = [
            (start + offset, event)
            for offset, event in enumerate(events)
            if lane_of(event["dynamodb"]["Keys"], len(self._lanes)) == number
        ]
        kept = {id(event) for event in filtered([event for _, event in mine], self._mapping)}
        if not kept:
            self._positions[number] = start + len(events)
        now_s = epoch_s()
        records, places = [], []
        for place, event in mine:
            if id(event) in kept:
                created_s = float(event["dynamodb"]["ApproximateCreationDateTime"])
                sequence_number = event["dynamodb"]["SequenceNumber"]
                size = self._sizes.get(sequence_number)
                if size is None:
                    size = self._sizes[sequence_number] = len(json.dumps(event))
                records.append(StreamRecord(sequence_number, now_ms - (now_s - created_s) * 1000, event, size))
                places.append(place)
                if len(records) > config.batch_size:
                    break
        return records, places

    def _invoke(self, lane: Lane, batch: StreamBatch, actor: Actor) -> None:
        request_id = self._tools.new_request_id()
        answer = Answer(Ending.THROTTLED)  # what cannot be invoked is tried again, as a function that is gone
        try:
            func = function_of(self._mapping)
            if func is not None:
                event = {"Records": [record.event for record in batch.records]}
                answer = invoke_for(actor, request_id, func, event)
        finally:
            self._end(lane, batch, answer, request_id, actor.at_ms)

    def _end(self, lane: Lane, batch: StreamBatch, answer: Answer, request_id: str, now_ms: float) -> None:
        with self._tools.lock:
            config = MappingConfig.of(self._mapping)
            self._mapping["LastProcessingResult"] = SUCCEEDED if answer.ending is Ending.SUCCEEDED else FAILED
            discarded = lane.ended(batch, answer, config, now_ms)
            if discarded is not None:
                self._give_up(discarded, config, now_ms, request_id)
        self._tools.look_at(self._mapping["UUID"], now_ms)

    def _give_up(
        self, discarded: Discarded, config: MappingConfig, now_ms: float, request_id: str | None = None
    ) -> None:
        """Tell the on-failure destination; `request_id` is that of the last invocation."""
        if config.on_failure is None:
            return
        records = discarded.batch.records
        first, last = records[0], records[-1]
        epoch_ms = self._tools.clock.epoch_ms(now_ms)
        position = {
            "shardId": SHARD_ID,
            "startSequenceNumber": first.sequence_number,
            "endSequenceNumber": last.sequence_number,
            "approximateArrivalOfFirstRecord": _arrival(first),
            "approximateArrivalOfLastRecord": _arrival(last),
            "batchSize": len(records),
            "streamArn": self._mapping["EventSourceArn"],
        }
        function_arn = self._mapping["FunctionArn"]
        record = stream_failure_record(
            discarded,
            request_id=request_id or self._tools.new_request_id(),
            function_arn=function_arn,
            epoch_ms=epoch_ms,
            position=position,
            name="DDBStreamBatchInfo",
        )
        if ":s3:" in config.on_failure:
            record["payload"] = json.dumps({"Records": [item.event for item in records]})
        send = functools.partial(
            destinations.deliver,
            config.on_failure,
            record,
            source_arn=function_arn,
            object_prefix=f"aws/lambda/{self._mapping['UUID']}/{SHARD_ID}",
            invoke=_refuse,
        )
        on_event_loop(self._tools.clock, now_ms, send)


def _refuse(function_arn: str, event: Any) -> None:
    raise destinations.DeliveryFailed("a function is no on-failure destination of an event source mapping")


def _arrival(record: StreamRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.event["dynamodb"]["ApproximateCreationDateTime"], datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
