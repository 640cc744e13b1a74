"""What becomes of an asynchronous invocation, step by step: an event comes in (`>>` an answer, `<<` what is done)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.emulator.asynchronous import (
    Answer,
    Command,
    Ending,
    EventInvokeConfig,
    InvokeAt,
    QueuedEvent,
    SendRecord,
    SendToDeadLetterQueue,
    accepted,
    answered,
    dead_letter_attributes,
    refused_retry_delay_ms,
)

ARN = "arn:aws:lambda:us-east-1:123456789012:function:my-function"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:"
EVENT = QueuedEvent("req-1", ARN, b'{"order": 1}', 1_000.0)
SUCCESS = Answer(Ending.SUCCEEDED, b'"done"')
ERROR = Answer(Ending.FUNCTION_ERROR, b'{"errorMessage": "no", "errorType": "ValueError"}', "Unhandled")
THROTTLE = Answer(Ending.THROTTLED)

S = 1_000.0
MINUTE = 60 * S


class Queue:
    """One event in the queue; each answer is given after an attempt that took no time."""

    def __init__(self, **config) -> None:
        self.config = EventInvokeConfig(**config)
        (first,) = accepted(EVENT, self.config, 0)
        assert isinstance(first, InvokeAt)
        self.attempt = first
        self.got: list[Command] = []

    def __rshift__(self, answer: Answer) -> Queue:
        assert not self.got, f"commands nobody expected: {self.got}"
        self.got = answered(self.attempt.event, answer, self.config, self.attempt.at_ms, 0)
        return self

    def __lshift__(self, expected: float | str | None) -> Queue:
        """A number: the next attempt, so many ms after the last one. A text: what is sent. None: nothing is done."""
        if expected is None:
            assert self.got == []
            return self
        command = self.got.pop(0)
        if isinstance(expected, str):
            assert describe(command) == expected
        else:
            assert isinstance(command, InvokeAt)
            assert command.at_ms - self.attempt.at_ms == expected
            self.attempt = command
        return self


def describe(command: Command) -> str:
    match command:
        case SendRecord(target_arn=target, record=record):
            said = record["requestContext"]
            return f"{said['condition']} after {said['approximateInvokeCount']} to {target.rpartition(':')[2]}"
        case SendToDeadLetterQueue(target_arn=target, body=body):
            return f"{body.decode()} to {target.rpartition(':')[2]}"
    return str(command)


def test_a_function_error_is_retried_after_one_minute_and_after_two_more():
    queue = Queue(on_failure=QUEUE + "failed", dead_letter_queue=QUEUE + "dead")
    (
        queue
        >> ERROR
        << MINUTE
        >> ERROR
        << 2 * MINUTE
        >> ERROR
        << '{"order": 1} to dead'
        << "RetriesExhausted after 3 to failed"
    )


def test_nothing_is_sent_where_nothing_is_configured():
    Queue() >> SUCCESS << None
    Queue() >> ERROR << MINUTE >> ERROR << 2 * MINUTE >> ERROR << None


def test_success_is_told_to_its_own_destination():
    queue = Queue(on_success=QUEUE + "done", on_failure=QUEUE + "failed")
    queue >> ERROR << MINUTE >> SUCCESS << "Success after 2 to done"


@pytest.mark.parametrize("attempts", [0, 1, 2])
def test_the_maximum_of_retry_attempts_counts_retries_and_not_invocations(attempts: int):
    queue = Queue(maximum_retry_attempts=attempts, on_failure=QUEUE + "failed")
    for delay in (MINUTE, 2 * MINUTE)[:attempts]:
        queue >> ERROR << delay
    queue >> ERROR << f"RetriesExhausted after {attempts + 1} to failed"


def test_an_event_too_old_for_its_next_attempt_is_discarded_at_once():
    """A minute of maximum age leaves no time for the first retry a minute later: nobody waits for it."""
    queue = Queue(maximum_event_age_ms=MINUTE - 1, on_failure=QUEUE + "failed")
    queue >> ERROR << "EventAgeExceeded after 1 to failed"
    queue = Queue(maximum_event_age_ms=1.5 * MINUTE, on_failure=QUEUE + "failed")
    queue >> ERROR << MINUTE >> ERROR << "EventAgeExceeded after 2 to failed"


def test_throttles_are_retried_ever_later_and_use_up_no_retry():
    queue = Queue(maximum_retry_attempts=0, on_success=QUEUE + "done")
    for delay in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
        queue >> THROTTLE << delay * S
    queue >> SUCCESS << "Success after 1 to done"


def test_back_off_begins_anew_when_the_function_has_run():
    Queue() >> THROTTLE << S >> THROTTLE << 2 * S >> ERROR << MINUTE >> THROTTLE << S


def test_throttled_events_are_given_up_at_their_maximum_age():
    """Six hours at most five minutes apart."""
    queue, attempts = Queue(on_failure=QUEUE + "failed"), 1
    while isinstance((queue >> THROTTLE).got[0], InvokeAt):
        queue.attempt, attempts = queue.got.pop(0), attempts + 1
    queue << "EventAgeExceeded after 0 to failed"
    assert 21_600 * S - 300 * S < queue.attempt.at_ms - EVENT.queued_at_ms <= 21_600 * S
    assert attempts > 21_600 / 300


def test_a_function_that_accepts_nothing_discards_without_an_attempt():
    """Reserved concurrency of zero."""
    config = EventInvokeConfig(accepts_nothing=True, dead_letter_queue=QUEUE + "dead", on_failure=QUEUE + "failed")
    assert [describe(command) for command in accepted(EVENT, config, 0)] == [
        '{"order": 1} to dead',
        "ZeroReservedConcurrency after 0 to failed",
    ]


def test_a_dead_letter_says_what_the_function_said_in_at_most_a_kilobyte():
    long = Answer(Ending.FUNCTION_ERROR, json.dumps({"errorMessage": "ü" * 2_000}).encode(), "Unhandled")
    (said,) = [
        command
        for command in answered(EVENT, long, EventInvokeConfig(maximum_retry_attempts=0, dead_letter_queue=QUEUE), 0, 0)
        if isinstance(command, SendToDeadLetterQueue)
    ]
    assert said.attributes["ErrorCode"] == {"DataType": "Number", "StringValue": "200"}
    assert said.attributes["ErrorMessage"]["StringValue"] == "ü" * 512


def test_a_dead_letter_of_an_event_that_never_ran_says_429():
    assert dead_letter_attributes(EVENT)["ErrorCode"]["StringValue"] == "429"


@given(st.lists(st.sampled_from([SUCCESS, ERROR, THROTTLE]), max_size=200), st.integers(0, 2), st.floats(6e4, 2.16e7))
def test_an_event_ends_in_one_way_and_never_runs_more_often_than_allowed(answers, retries, age_ms):
    """Whatever the function does, exactly one record says how it ended, and nothing is tried after the maximum age."""
    config = EventInvokeConfig(retries, age_ms, on_success=QUEUE + "done", on_failure=QUEUE + "failed")
    commands: list[Command] = accepted(EVENT, config, 0)
    ran = 0
    for answer in answers:
        (command,) = commands
        if not isinstance(command, InvokeAt):
            return
        assert EVENT.queued_at_ms <= command.at_ms <= EVENT.queued_at_ms + age_ms
        ran += answer is not THROTTLE
        assert ran <= retries + 1
        commands = answered(command.event, answer, config, command.at_ms, 0)


@given(st.integers(1, 10_000))
def test_back_off_never_exceeds_five_minutes(refusals: int):
    assert 1_000 <= refused_retry_delay_ms(refusals) <= 300_000
