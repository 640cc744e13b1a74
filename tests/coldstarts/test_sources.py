"""Reading CloudWatch Logs: against a real MiniStack's, and against stated page behaviour."""

from __future__ import annotations

import contextlib
from collections import Counter

import boto3
import pytest

from serverless_lab.coldstarts.cloudwatch.paging import PAGE_EVENTS
from serverless_lab.coldstarts.sources import read_cloudwatch_logs
from serverless_lab.errors import TargetError
from serverless_lab.report_line import ReportLine, render
from tests.coldstarts.story import T0, Environment, request_id


@pytest.fixture
def logs(ministack):
    return boto3.client(
        "logs",
        endpoint_url=ministack,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def group(logs, request):
    """An empty log group of this test's own."""
    name = f"/aws/lambda/{request.node.name[:60]}".replace("[", "-").replace("]", "")
    logs.create_log_group(logGroupName=name)
    yield name
    logs.delete_log_group(logGroupName=name)


def put(logs, group: str, stream: str, events: list[tuple[int, str]]) -> None:
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    for at in range(0, len(events), PAGE_EVENTS):
        batch = [{"timestamp": ms, "message": message} for ms, message in events[at : at + PAGE_EVENTS]]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)


def report(number: int) -> str:
    return render(ReportLine(request_id(number), 20.0, 21, 256, 80))


def read_ids(logs, group: str, end_ms: int, **options) -> Counter[str]:
    reading = read_cloudwatch_logs(logs, [group], T0, end_ms, **options)
    return Counter(event.message for event in reading.events)


# --- a real CloudWatch Logs API that cuts off at 10,000 events -------------------------------------------------------


def test_more_events_than_a_page_holds_are_all_read_once(logs, group):
    """MiniStack answers 10,000 events and no token: the rest must not be lost, what borders must not be doubled."""
    count = 2 * PAGE_EVENTS + 3_000
    for stream in range(3):
        # Seven events share each millisecond, so pages end in the middle of one.
        events = [(T0 + number // 7, report(number)) for number in range(stream, count, 3)]
        put(logs, group, f"2026/11/24/[1]{stream:032x}", events)
    found = read_ids(logs, group, T0 + count)
    assert len(found) == count
    assert set(found.values()) == {1}


def test_an_instant_that_alone_fills_a_page_is_read_stream_by_stream(logs, group):
    """On a virtual clock a burst of any size happens at one millisecond."""
    count = PAGE_EVENTS + 2_500
    for stream in range(4):
        events = [(T0 + 5, report(number)) for number in range(stream, count, 4)]
        put(logs, group, f"2026/11/24/[1]{stream:032x}", [(T0, report(count + stream)), *events])
    put(logs, group, "2026/11/24/[1]" + "f" * 32, [(T0 + 6, report(count + 4))])
    found = read_ids(logs, group, T0 + 10)
    assert len(found) == count + 5
    assert set(found.values()) == {1}


def test_equal_lines_are_as_many_as_were_written(logs, group):
    """The same message at the same instant in the same stream is two events, also where a page ends there."""
    fill = [(T0, report(number)) for number in range(PAGE_EVENTS - 1)]
    put(logs, group, "2026/11/24/[1]" + "0" * 32, [*fill, (T0 + 1, report(1)), (T0 + 1, report(1))])
    found = read_ids(logs, group, T0 + 2)
    assert found[report(1)] == 3
    assert sum(found.values()) == PAGE_EVENTS + 1


def test_only_platform_lines_of_the_window_come_back_in_order_of_time(logs, group):
    environment = Environment().cold(1).write("an application's line").wait(1_000).invoke(2)
    put(logs, group, environment.stream, [(event.timestamp_ms or 0, event.message) for event in environment.events])
    reading = read_cloudwatch_logs(logs, [group], T0, T0 + 60_000)
    told = [event.message for event in environment.events if "application" not in event.message]
    assert [event.message for event in reading.events] == told
    late = read_cloudwatch_logs(logs, [group], environment.now - 500, T0 + 60_000)
    assert [event.message for event in late.events] == told[-3:]
    assert [event.message for event in late.earlier] == told[:-3], "the environment's past is looked up"


def test_a_group_that_does_not_exist_is_reported_and_is_no_error(logs, group):
    """A function that never ran has no group; so has one whose init failed on LocalStack."""
    put(logs, group, "s", [(T0, report(1))])
    reading = read_cloudwatch_logs(logs, ["/aws/lambda/never-ran", group], T0, T0 + 10)
    assert reading.missing_groups == ("/aws/lambda/never-ran",)
    assert len(reading.events) == 1


class Waiting:
    """A clock that only sleeping moves, and what happens meanwhile."""

    def __init__(self, *happenings) -> None:
        self.now = 0.0
        self.happenings = list(happenings)

    def now_ms(self) -> float:
        return self.now

    def sleep_ms(self, duration_ms: float) -> None:
        self.now += duration_ms
        if self.happenings:
            self.happenings.pop(0)()

    def options(self) -> dict:
        return {"now_ms": self.now_ms, "sleep_ms": self.sleep_ms}


def test_reading_waits_for_the_reports_that_are_expected(logs, group):
    """CloudWatch Logs and LocalStack show lines seconds after the invocation."""
    put(logs, group, "s", [(T0, report(1))])
    waiting = Waiting(lambda: None, lambda: put(logs, group, "s", [(T0 + 1, report(2))]))
    ids = {request_id(1), request_id(2)}
    reading = read_cloudwatch_logs(logs, [group], T0, T0 + 10, expected_reports=ids, **waiting.options())
    assert reading.unreported == 0
    assert len(reading.events) == 2
    assert waiting.now < 5_000


def test_waiting_ends_at_the_deadline_and_says_what_is_missing(logs, group):
    put(logs, group, "s", [(T0, report(1))])
    waiting = Waiting()
    reading = read_cloudwatch_logs(
        logs, [group], T0, T0 + 10, expected_reports=3, deadline_ms=20_000, **waiting.options()
    )
    assert reading.unreported == 2
    assert waiting.now == pytest.approx(20_000)


def test_nothing_is_waited_for_where_no_function_ever_ran(logs, group):
    """The embedded target makes a log group before the first init of its function: without one no line will come."""
    waiting = Waiting()
    options = {"expected_reports": 3, "groups_come_first": True, "deadline_ms": 20_000, **waiting.options()}
    reading = read_cloudwatch_logs(logs, ["/aws/lambda/never-ran"], T0, T0 + 10, **options)
    assert (reading.unreported, waiting.now) == (3, 0.0)
    put(logs, group, "s", [(T0, report(1))])
    assert read_cloudwatch_logs(logs, ["/aws/lambda/never-ran", group], T0, T0 + 10, **options).unreported == 2
    assert waiting.now == pytest.approx(20_000)


def test_a_target_that_is_not_there_is_a_target_error():
    client = boto3.client(
        "logs",
        endpoint_url="http://127.0.0.1:9",
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=boto3.session.Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(TargetError, match="/aws/lambda/orders"):
        read_cloudwatch_logs(client, ["/aws/lambda/orders"], T0, T0 + 10)


# --- pages as AWS and LocalStack make them ---------------------------------------------------------------------------


class PagedLogs:
    """FilterLogEvents with tokens, as AWS documents it: pages partly full or empty, and only a missing token ends."""

    class exceptions:
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, pages: list[list[tuple[str, int, str]]]) -> None:
        self.pages = pages

    def filter_log_events(self, *, startTime, endTime, nextToken="0", logStreamNames=None, **_):
        at = int(nextToken)
        events = [
            {"logStreamName": stream, "timestamp": ms, "message": message}
            for stream, ms, message in self.pages[at]
            if startTime <= ms <= endTime
        ]
        return {"events": events, **({"nextToken": str(at + 1)} if at + 1 < len(self.pages) else {})}


def test_tokens_are_followed_through_empty_pages():
    pages = [[("a", T0 + 5, report(1))], [], [], [("a", T0 + 7, report(2))]]
    found = read_ids(PagedLogs(pages), "/aws/lambda/orders", T0 + 10)
    assert set(found) == {report(1), report(2)}


def test_events_that_come_stream_by_stream_are_put_in_order_of_time():
    """LocalStack answers so."""
    pages = [[("a", T0 + 5, report(1)), ("a", T0 + 9, report(2))], [("b", T0 + 7, report(3))]]
    reading = read_cloudwatch_logs(PagedLogs(pages), ["/aws/lambda/orders"], T0, T0 + 10)
    assert [event.timestamp_ms for event in reading.events] == [T0 + 5, T0 + 7, T0 + 9]


def test_the_past_of_other_streams_is_not_taken_from_a_target_that_ignores_stream_names():
    pages = [[("a", T0 - 9, report(1)), ("b", T0 - 9, report(2)), ("a", T0 + 5, report(3))]]
    reading = read_cloudwatch_logs(PagedLogs(pages), ["/aws/lambda/orders"], T0, T0 + 10)
    assert [event.message for event in reading.earlier] == [report(1)]
