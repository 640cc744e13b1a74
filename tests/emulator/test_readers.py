"""Readers of event sources: a batch that could not be carried takes up its place no longer than one that could."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from serverless_lab.emulator import ministack_queues, ministack_streams
from serverless_lab.emulator.clock import Actor, WallClock
from serverless_lab.emulator.event_sources import GatheredBatch, Lane, StreamBatch, StreamRecord
from serverless_lab.emulator.ministack_queues import QueueReader
from serverless_lab.emulator.ministack_sources import Tools
from serverless_lab.emulator.ministack_streams import StreamReader


class Broken(Exception):
    pass


def broken(mapping: Any) -> None:
    raise Broken


class CarriedHere(Tools):
    """Carries a batch on the calling thread, where a test sees what becomes of it."""

    def carry(self, at_ms: float, run: Any) -> None:
        actor: Actor = self.clock.enter(at_ms)
        with pytest.raises(Broken):
            run(actor)


@pytest.fixture
def looks() -> list[str]:
    return []


@pytest.fixture
def tools(looks: list[str]) -> Tools:
    return CarriedHere(WallClock(), lambda: "id", threading.RLock(), lambda mapping, at_ms: looks.append(mapping))


def test_a_queue_is_read_on_after_a_batch_that_could_not_be_carried(tools, looks, monkeypatch):
    """Else each such batch would take one from the queue's concurrency, until nothing is read any more."""
    monkeypatch.setattr(ministack_queues, "function_of", broken)
    reader = QueueReader({"UUID": "m1", "EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q"}, tools)
    reader._send(GatheredBatch(0.0), 0.0)
    assert reader._in_work == 0
    assert looks == ["m1"]


def test_a_stream_offers_a_batch_again_that_could_not_be_carried(tools, looks, monkeypatch):
    """A stream keeps its order: what is not known to be done is not passed over, and nothing waits for ever."""
    monkeypatch.setattr(ministack_streams, "function_of", broken)
    reader, lane = StreamReader({"UUID": "m2", "EventSourceArn": "arn:aws:dynamodb:t/stream/s"}, tools), Lane(busy=True)
    batch = StreamBatch((StreamRecord("1", 0.0, {}),))
    tools.carry(0.0, lambda actor: reader._invoke(lane, batch, actor))
    assert not lane.busy
    assert [waiting.records for waiting in lane.waiting] == [batch.records]
    assert looks == ["m2"]


def test_a_lane_takes_nothing_new_until_the_records_are_dealt_anew(tools, monkeypatch):
    """Under another ParallelizationFactor they belong to other lanes: one that read on would pass over them."""
    reader = StreamReader({"UUID": "m3", "EventSourceArn": "t/stream/s", "ParallelizationFactor": 1}, tools)
    reader._lanes, reader._positions = [Lane(busy=True), Lane()], [7, 3]
    monkeypatch.setattr(reader, "_table", lambda: "t")
    monkeypatch.setattr(ministack_streams, "is_alive", lambda mapping: True)
    taken: list[int] = []
    monkeypatch.setattr(reader, "_advance", lambda number, *rest: taken.append(number))
    reader.look(0.0)
    assert taken == []
    reader._lanes[0].busy = False
    reader.look(0.0)
    assert (taken, reader._positions) == ([0], [3])
