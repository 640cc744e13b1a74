"""Which records an event source mapping sends together, and what becomes of a batch that fails: the rules alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.emulator.asynchronous import Answer, Ending
from serverless_lab.emulator.event_sources import (
    Discarded,
    GatheredBatch,
    Lane,
    MappingConfig,
    StreamBatch,
    StreamRecord,
    failed_items,
    first_failure,
    lane_of,
    queue_concurrency,
)

OK = Answer(Ending.SUCCEEDED)
ERROR = Answer(Ending.FUNCTION_ERROR, b"{}", "Unhandled")
THROTTLE = Answer(Ending.THROTTLED)


def reported(*identifiers) -> Answer:
    return says({"batchItemFailures": [{"itemIdentifier": item} for item in identifiers]})


def says(body) -> Answer:
    return Answer(Ending.SUCCEEDED, json.dumps(body).encode())


def records(names: str, created_ms: float = 0.0) -> list[StreamRecord]:
    return [StreamRecord(name, created_ms, {}) for name in names]


class Shard:
    """One lane over a stream of records named by letters; time stands still unless `at` moves it."""

    def __init__(self, names: str = "", **config) -> None:
        self.config = MappingConfig(**{"batch_size": 100, **config})
        self.lane, self.left, self.now_ms = Lane(), records(names), 0.0
        self.batch: StreamBatch | None = None
        self.gone: list[Discarded] = []
        self.look_again_ms: float | None = None

    def sends(self) -> str | None:
        """What it sends now, if anything."""
        step = self.lane.next(self.left, self.config, self.now_ms)
        self.left = self.left[step.taken :]
        self.gone += [] if step.discarded is None else [step.discarded]
        self.batch, self.look_again_ms = step.batch or self.batch, step.look_again_ms
        return None if step.batch is None else names_of(step.batch)

    def ends(self, answer: Answer) -> Shard:
        assert self.batch is not None
        discarded = self.lane.ended(self.batch, answer, self.config, self.now_ms)
        self.gone += [] if discarded is None else [discarded]
        return self

    def retries(self, after_ms: float) -> str | None:
        """What it sends when it looks again, which must be so much later."""
        assert self.sends() is None
        assert self.look_again_ms == self.now_ms + after_ms
        self.now_ms += after_ms
        return self.sends()

    @property
    def discarded(self) -> list[tuple[str, str, int]]:
        return [(names_of(item.batch), item.condition, item.batch.invocations) for item in self.gone]


def names_of(batch: StreamBatch) -> str:
    return "".join(record.sequence_number for record in batch.records)


# Streams ------------------------------------------------------------------------------------------------------


def test_a_lane_sends_what_is_there_at_once_and_nothing_else_until_that_has_ended():
    """No batching window is the default; order is kept by having one batch in work."""
    shard = Shard("abc", batch_size=2)
    assert shard.sends() == "ab"
    assert shard.sends() is None
    shard.ends(OK)
    assert shard.sends() == "c"


def test_a_batching_window_waits_for_a_full_batch_or_for_its_end():
    shard = Shard("ab", batch_size=3, window_ms=5_000)
    assert shard.sends() is None and shard.look_again_ms == 5_000
    shard.left += records("c")
    assert shard.sends() == "abc"
    shard.ends(OK).left = records("d")
    shard.now_ms = 1_000
    assert shard.retries(5_000) == "d"


def test_a_batch_never_exceeds_the_payload_limit():
    shard = Shard()
    shard.left = [StreamRecord(name, 0.0, {}, 3_000_000) for name in "abc"]
    assert shard.sends() == "ab"


def test_a_failed_batch_is_retried_before_anything_after_it_is_read():
    shard = Shard("abc", batch_size=2)
    assert shard.sends() == "ab"
    assert shard.ends(ERROR).retries(1_000) == "ab"
    assert shard.ends(ERROR).retries(2_000) == "ab"
    shard.ends(OK)
    assert shard.sends() == "c"


def test_a_batch_is_given_up_when_its_retries_are_used_up():
    shard = Shard("ab", batch_size=1, maximum_retry_attempts=1)
    assert shard.sends() == "a"
    assert shard.ends(ERROR).retries(1_000) == "a"
    shard.ends(ERROR)
    assert shard.discarded == [("a", "RetryAttemptsExhausted", 2)]
    assert shard.sends() == "b"


def test_throttles_use_up_no_retry_and_split_nothing():
    shard = Shard("ab", maximum_retry_attempts=0, bisects=True)
    assert shard.sends() == "ab"
    for delay in (1_000, 2_000, 4_000):
        assert shard.ends(THROTTLE).retries(delay) == "ab"
    shard.ends(OK)
    assert shard.discarded == []


def test_bisecting_finds_the_bad_record_without_using_up_its_retries():
    shard = Shard("abXd", maximum_retry_attempts=1, bisects=True)
    sent = []
    while (batch := shard.sends()) is not None or shard.look_again_ms is not None:
        if batch is None:
            shard.now_ms = shard.look_again_ms
            continue
        sent.append(batch)
        shard.ends(ERROR if "X" in batch else OK)
    assert sent == ["abXd", "ab", "Xd", "X", "X", "d"]
    assert shard.discarded == [("X", "RetryAttemptsExhausted", 2)]


def test_a_partial_failure_goes_on_at_the_record_that_failed_with_all_its_retries():
    shard = Shard("abX", maximum_retry_attempts=3, reports_failures=True)
    assert shard.sends() == "abX"
    shard.ends(reported("X"))
    sent = [shard.sends()]
    for delay in (1_000, 2_000, 4_000):
        sent.append(shard.ends(reported("X")).retries(delay))
    shard.ends(reported("X"))
    assert sent == ["X"] * 4
    assert shard.discarded == [("X", "RetryAttemptsExhausted", 4)]


def test_records_older_than_the_maximum_age_are_given_up_without_an_invocation():
    shard = Shard(maximum_record_age_ms=60_000)
    shard.left = [*records("ab", created_ms=0.0), *records("c", created_ms=50_000.0)]
    shard.now_ms = 60_001
    assert shard.sends() == "c"
    assert shard.discarded == [("ab", "RecordAgeExceeded", 0)]


def test_a_record_is_retried_until_the_stream_drops_it_where_nothing_else_is_said():
    shard = Shard("a")
    assert shard.sends() == "a"
    while shard.ends(ERROR).sends() is None and shard.look_again_ms is not None:
        shard.now_ms = shard.look_again_ms
        if shard.sends() is None:
            break
    assert [condition for _, condition, _ in shard.discarded] == ["RecordAgeExceeded"]
    assert 86_400_000 < shard.now_ms <= 86_460_000


@settings(deadline=None)
@given(
    st.text("abcdefgh", max_size=40).map(lambda text: "".join(f"{name}" for name in text)),
    st.integers(1, 7),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_every_record_is_handled_or_given_up_and_in_order(text, batch_size, attempts, bisects, reports, random):
    """Whatever fails: no record is lost, and none is handled before one that precedes it is handled or given up."""
    names = [f"{place:03d}" for place in range(len(text))]
    shard = Shard(batch_size=batch_size, maximum_retry_attempts=attempts, bisects=bisects, reports_failures=reports)
    shard.left = [StreamRecord(name, 0.0, {}) for name in names]
    done: list[str] = []
    while True:
        if shard.sends() is None:
            if shard.look_again_ms is None:
                break
            shard.now_ms = shard.look_again_ms
            continue
        batch = [record.sequence_number for record in shard.batch.records]
        answer = random.choice([OK, OK, ERROR, reported(random.choice(batch))])
        given_up = len(shard.gone)
        shard.ends(answer)
        failed_at = first_failure(shard.config, answer, [StreamRecord(name, 0.0, {}) for name in batch])
        done += batch[:failed_at]
        for item in shard.gone[given_up:]:
            done += [record.sequence_number for record in item.batch.records]
    assert done == names


@given(st.text(min_size=1), st.integers(1, 10))
def test_the_records_of_an_item_all_go_to_the_same_lane(key: str, lanes: int):
    assert lane_of({"id": {"S": key}}, lanes) == lane_of({"id": {"S": key}}, lanes) < lanes


# Queues -------------------------------------------------------------------------------------------------------


def test_a_queue_begins_with_five_batches_at_once_and_grows_by_300_a_minute():
    config = MappingConfig(batch_size=10)
    assert [queue_concurrency(config, ms) for ms in (0, 60_000, 120_000, 3_600_000)] == [5, 305, 605, 1_250]


def test_maximum_concurrency_limits_a_queue():
    config = MappingConfig(batch_size=10, maximum_concurrency=2)
    assert [queue_concurrency(config, ms) for ms in (0, 3_600_000)] == [2, 2]


def test_messages_are_gathered_until_the_batch_is_full_or_the_window_is_over():
    config, batch = MappingConfig(batch_size=2, window_ms=1_000), GatheredBatch(500.0)
    batch.add("a", 10)
    assert not batch.is_due(config, 1_499.0)
    assert batch.is_due(config, 1_500.0)
    batch.add("b", 10)
    assert batch.is_due(config, 500.0)


SUCCESSES = [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}]
FAILURES = [
    "text",
    [],
    {"batchItemFailures": [{"itemIdentifier": ""}]},
    {"batchItemFailures": [{"itemIdentifier": None}]},
]
FAILURES += [{"batchItemFailures": [{"foo": "a"}]}, {"batchItemFailures": [{"itemIdentifier": "unknown"}]}]


@pytest.mark.parametrize("body", SUCCESSES)
def test_an_answer_that_names_no_failure_is_a_success_of_the_whole_batch(body):
    config = MappingConfig(batch_size=10, reports_failures=True)
    assert failed_items(config, says(body), ["a", "b"]) == set()
    assert first_failure(config, says(body), records("ab")) is None


@pytest.mark.parametrize("body", FAILURES)
def test_an_answer_that_cannot_be_meant_is_a_failure_of_the_whole_batch(body):
    config = MappingConfig(batch_size=10, reports_failures=True)
    assert failed_items(config, says(body), ["a", "b"]) == {"a", "b"}
    assert first_failure(config, says(body), records("ab")) == 0


def test_reported_failures_count_only_where_the_mapping_asks_for_them():
    config = MappingConfig(batch_size=10)
    assert failed_items(config, reported("a"), ["a", "b"]) == set()
    assert first_failure(config, reported("a"), records("ab")) is None


def test_only_reported_messages_come_back():
    config = MappingConfig(batch_size=10, reports_failures=True)
    assert failed_items(config, reported("b"), ["a", "b", "c"]) == {"b"}
    assert failed_items(config, ERROR, ["a", "b"]) == failed_items(config, THROTTLE, ["a", "b"]) == {"a", "b"}


def test_a_stream_goes_on_at_the_earliest_record_reported():
    config = MappingConfig(batch_size=10, reports_failures=True)
    assert first_failure(config, reported("c", "b"), records("abc")) == 1


def test_a_template_may_say_numbers_and_truth_as_text():
    said = {
        "EventSourceArn": "arn:aws:dynamodb:us-east-1:1:table/t/stream/x",
        "BatchSize": "25",
        "BisectBatchOnFunctionError": "true",
        "MaximumRetryAttempts": "-1",
        "MaximumRecordAgeInSeconds": "60",
        "DestinationConfig": {"OnFailure": {"Destination": ""}},
    }
    assert MappingConfig.of(said) == MappingConfig(batch_size=25, bisects=True, maximum_record_age_ms=60_000.0)
