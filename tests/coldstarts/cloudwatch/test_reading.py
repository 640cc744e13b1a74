"""Every event exactly once, whatever the pages, the refusals, the interruptions and the number of threads."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.coldstarts.cloudwatch.kept import SETTLED_MS, KeptLogs, gaps
from serverless_lab.coldstarts.cloudwatch.pace import Pace
from serverless_lab.coldstarts.cloudwatch.queries import QueryReader
from serverless_lab.coldstarts.cloudwatch.reader import LogReader, Progress
from serverless_lab.coldstarts.log_event import LogEvent
from serverless_lab.coldstarts.sources import read_cloudwatch_logs
from serverless_lab.errors import TargetError
from serverless_lab.report_line import ReportLine, render, render_start
from tests.coldstarts.cloudwatch.service import LogService, VirtualTime
from tests.coldstarts.story import T0, Environment, request_id

GROUP = "/aws/lambda/orders"
OTHER = "/aws/lambda/mail"
LONG_AGO = T0 + 3_600_000 + SETTLED_MS
"""The time of day when all events of an hour from T0 on are settled."""


def report(number: int) -> str:
    return render(ReportLine(request_id(number), 20.0, 21, 256, 80))


@dataclass(frozen=True)
class Case:
    """A log, and how its service behaves."""

    events: tuple[tuple[str, str, int, str], ...]
    behaviour: dict

    def service(self, **changes) -> LogService:
        made = LogService(VirtualTime(), **{**self.behaviour, **changes})
        for event in self.events:
            made.put(*event)
        return made

    def expected(self) -> Counter:
        return Counter(self.events)


# Few instants, streams and messages: ties, equal lines and pages that end within an instant are what goes wrong.
events = st.tuples(
    st.sampled_from([GROUP, OTHER]),
    st.sampled_from(["2026/11/24/[1]" + "a" * 32, "2026/11/24/[1]" + "b" * 32]),
    st.integers(0, 12).map(lambda at: T0 + at * 700),
    st.integers(1, 3).map(report),
)
cases = st.builds(
    Case,
    st.lists(events, max_size=40).map(tuple),
    st.fixed_dictionaries(
        {
            "per_page": st.integers(1, 6),
            "refuses": st.sampled_from([0.0, 0.3]),
            "empties": st.sampled_from([0.0, 0.4]),
            "repeats": st.sampled_from([0.0, 0.5]),
            "seed": st.integers(0, 1000),
        }
    ),
)


def counted(found: dict[str, list[LogEvent]]) -> Counter:
    return Counter(
        (group, event.log_stream, event.timestamp_ms, event.message) for group in found for event in found[group]
    )


def reader(service: LogService, kept: KeptLogs | None = None, *, queries: bool = False, **options) -> LogReader:
    made = {"sorted_by_time": True, "wall_ms": lambda: LONG_AGO, "pace": service.pace(), **options}
    kind = QueryReader if queries else LogReader
    return kind(service.client(), kept=kept, **made)


def read(reading: LogReader, **options) -> Counter:
    return counted(reading.read([GROUP, OTHER], T0, T0 + 20_000, **options)[0])


# --- once each -------------------------------------------------------------------------------------------------------


@given(cases)
@settings(max_examples=60, deadline=None)
def test_every_event_is_read_exactly_once(case):
    assert read(reader(case.service())) == case.expected()


@given(cases, st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_so_it_is_by_several_threads(case, workers):
    assert read(reader(case.service(), workers=workers)) == case.expected()


@given(cases, st.integers(2, 9))
@settings(max_examples=40, deadline=None)
def test_so_it_is_by_queries_that_answer_few_rows(case, rows_max):
    """A full answer is taken up to its last instant, and an instant that fills one is read in pages."""
    found = read(reader(case.service(refuses=0.0), queries=True, rows_max=rows_max, expected={GROUP: 20}))
    assert found == case.expected()


@given(cases, st.lists(st.integers(1, 60), max_size=6), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_reading_that_is_interrupted_goes_on_where_it_stopped(case, gone_at, is_sorted, queries):
    """At whatever calls the target was gone: each time something fails, and nothing is lost or there twice."""
    service = case.service(gone_at=frozenset(gone_at), refuses=0.0)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(len(gone_at) + 1):
            kept = KeptLogs(Path(folder))
            attempt = (
                reader(service, kept, sorted_by_time=is_sorted, queries=queries, rows_max=7)
                if queries
                else (reader(service, kept, sorted_by_time=is_sorted))
            )
            try:
                found = read(attempt)
                break
            except TargetError:
                continue
        assert found == case.expected()
        calls = len(service.calls)
        service.gone_at = frozenset()
        again = read(reader(service, KeptLogs(Path(folder))))
        assert again == found
        # A group that is not there may be there tomorrow.
        groups = {event[0] for event in case.events}
        assert len(service.calls) - calls == 2 - len(groups), "what was read is not read again"
        assert not list(Path(folder).rglob(".*")), "no draft is left"


def test_pages_that_were_read_are_there_when_the_next_one_is_not(tmp_path):
    service = LogService(VirtualTime(), per_page=1, gone_at=frozenset({5}))
    for number in range(1, 9):
        service.put(GROUP, "s", T0 + number * 100, report(number))
    with pytest.raises(TargetError) as refused:
        reader(service, KeptLogs(tmp_path)).read([GROUP], T0, T0 + 1_000)
    assert "3 log events are kept, and the same command reads on from there" in (refused.value.hint or "")
    found, _ = reader(service, KeptLogs(tmp_path)).read([GROUP], T0, T0 + 1_000)
    assert service.calls[5][1]["startTime"] == T0 + 400
    assert len(found[GROUP]) == 8


@pytest.mark.parametrize(
    ("refusal", "hint"),
    [
        (("ExpiredTokenException", "The security token included in the request is expired"), "aws sso login --profile"),
        (("UnrecognizedClientException", "The security token in the request is invalid."), "aws sso login --profile"),
        (
            ("AccessDeniedException", "User: ann is not authorized to perform: logs:FilterLogEvents on resource: g"),
            "ask for logs:FilterLogEvents on g",
        ),
        (("InternalFailure", "An internal error occurred"), "repeat the command later"),
        (None, "check the network"),
    ],
)
def test_what_ends_a_long_reading_is_told_with_the_way_to_go_on(tmp_path, refusal, hint):
    """An hour's reading outlives a session: then a permission is not what is missing."""
    service = LogService(VirtualTime(), per_page=1, gone_at=frozenset({5}), gone_as=refusal)
    for number in range(1, 9):
        service.put(GROUP, "s", T0 + number * 100, report(number))
    ways = {"sign_in": "sign in: `aws sso login --profile shop`", "unreachable": "check the network"}
    with pytest.raises(TargetError, match=f"reading log group {GROUP} failed") as refused:
        reader(service, KeptLogs(tmp_path), **ways).read([GROUP], T0, T0 + 1_000)
    assert hint in (refused.value.hint or "")
    assert "3 log events are kept, and the same command reads on" in (refused.value.hint or "")


def test_what_is_kept_is_read_again_when_that_is_asked_for(tmp_path):
    service = LogService(VirtualTime())
    service.put(GROUP, "s", T0 + 5, report(1))
    assert sum(read(reader(service, KeptLogs(tmp_path))).values()) == 1
    service.put(GROUP, "s", T0 + 6, report(2))
    assert sum(read(reader(service, KeptLogs(tmp_path))).values()) == 1
    assert sum(read(reader(service, KeptLogs(tmp_path)), fresh=True).values()) == 2


def test_what_is_too_new_to_be_whole_is_not_kept(tmp_path):
    """An event may show up two minutes after its time."""
    service = LogService(VirtualTime())
    service.put(GROUP, "s", T0 + 1_000, report(1))
    wall = {"wall_ms": lambda: T0 + 5_000 + SETTLED_MS}
    reader(service, KeptLogs(tmp_path), **wall).read([GROUP], T0, T0 + 20_000)
    service.put(GROUP, "s", T0 + 9_000, report(2))
    found, _ = reader(service, KeptLogs(tmp_path), **wall).read([GROUP], T0, T0 + 20_000)
    assert len(found[GROUP]) == 2
    assert service.calls[-1][1]["startTime"] == T0 + 5_001


def test_a_file_that_is_not_whole_is_read_from_the_target_again(tmp_path):
    service = LogService(VirtualTime())
    service.put(GROUP, "s", T0 + 5, report(1))
    read(reader(service, KeptLogs(tmp_path)))
    for path in tmp_path.rglob("*.gz"):
        path.write_bytes(path.read_bytes()[:-9])
    assert sum(read(reader(service, KeptLogs(tmp_path))).values()) == 1


def test_what_a_killed_reading_was_writing_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    kept = KeptLogs(tmp_path)
    kept.store(GROUP, T0, T0 + 9, [])
    (folder,) = tmp_path.iterdir()
    drafts = [folder / f".{T0 + 10}-{T0 + 19}.jsonl.gz.{pid}-1" for pid in (ended.pid, os.getpid())]
    for draft in drafts:
        draft.write_bytes(b"half")
    assert kept.load(GROUP, T0, T0 + 19) == ([(T0, T0 + 9)], [])
    assert [draft.exists() for draft in drafts] == [False, True]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=6), st.integers(0, 30), st.integers(0, 40))
def test_stretches_and_gaps_make_the_range(parts, start, width):
    """Files of two readings may overlap; what they say together counts once."""
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptLogs(Path(folder))
        for first, length in parts:
            own = [LogEvent(GROUP, "s", ms, report(ms)) for ms in range(first, first + length + 1)]
            kept.store(GROUP, first, first + length, own)
        left = kept.missing(GROUP, start, start + width)
        stretches, found = kept.load(GROUP, start, start + width)
    covered = [ms for first, last in stretches for ms in range(first, last + 1)]
    missing = [ms for first, last in gaps(stretches, start, start + width) for ms in range(first, last + 1)]
    assert sorted(covered + missing) == list(range(start, start + width + 1))
    assert missing == [ms for first, last in left for ms in range(first, last + 1)], "no file has to be read for that"
    assert sorted(event.timestamp_ms or 0 for event in found) == covered
    assert set(covered) == {
        ms for first, length in parts for ms in range(first, first + length + 1) if start <= ms <= start + width
    }


# --- pace ------------------------------------------------------------------------------------------------------------


def test_requests_stay_within_the_account_s_rate():
    service = LogService(VirtualTime(), per_page=1, per_second=5)
    for number in range(30):
        service.put(GROUP, "s", T0 + number, report(number))
    reading = reader(service, pace=service.pace(per_second=4.9))
    assert len(reading.read([GROUP], T0, T0 + 100)[0][GROUP]) == 30
    assert service.refused == 0


def test_threads_share_a_rate():
    """Twelve requests at one instant are sent a fifth of a second apart, whoever sends them."""
    waits: list[float] = []
    pace = Pace(per_second=5, now_ms=lambda: 0.0, sleep_ms=waits.append)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: pace.call(dict), range(12)))
    assert sorted(waits) == pytest.approx([number * 200 for number in range(1, 12)])


def test_after_refusals_everybody_waits_longer_and_goes_on():
    service = LogService(VirtualTime(), per_page=1, refuses=0.6, seed=3)
    for number in range(10):
        service.put(GROUP, "s", T0 + number, report(number))
    reading = reader(service, pace=service.pace(per_second=5))
    assert len(reading.read([GROUP], T0, T0 + 100)[0][GROUP]) == 10
    assert reading.pace.throttled == service.refused > 5
    assert max(service.time.waited) > 1_000


def test_an_account_that_refuses_for_minutes_is_given_up():
    service = LogService(VirtualTime(), refuses=1.0)
    service.put(GROUP, "s", T0, report(1))
    with pytest.raises(TargetError, match=r"refused a request for \d{3} s"):
        reader(service).read([GROUP], T0, T0 + 100)
    assert 300_000 <= service.time.now < 330_000


# --- late, missing, told ---------------------------------------------------------------------------------------------


def put_invocation(service: LogService, number: int, at_ms: int, *, report_visible_ms: float = 0.0) -> None:
    service.put(GROUP, "s", at_ms, render_start(request_id(number), "1"))
    service.put(GROUP, "s", at_ms + 20, report(number), visible_ms=report_visible_ms)


def options(service: LogService) -> dict:
    return {"now_ms": service.time.now_ms, "sleep_ms": service.time.sleep_ms}


def test_reports_that_arrive_late_are_waited_for_until_each_start_has_one(tmp_path):
    service = LogService(VirtualTime(), empties=0.3)
    for number in range(5):
        put_invocation(service, number, T0 + number * 1000, report_visible_ms=number * 2_500.0)
    reading = reader(service, KeptLogs(tmp_path), wall_ms=lambda: T0 + 6_000)
    found = read_cloudwatch_logs(
        reading.client, [GROUP], T0, T0 + 9_000, until_reported=True, reader=reading, **options(service)
    )
    assert (len(found.events), found.unreported) == (10, 0)
    assert 10_000 <= service.time.now < 15_000


def test_waiting_for_reports_ends_at_the_deadline():
    service = LogService(VirtualTime())
    put_invocation(service, 1, T0, report_visible_ms=1e12)
    found = read_cloudwatch_logs(
        None, [GROUP], T0, T0 + 9_000, until_reported=True, reader=reader(service), **options(service)
    )
    assert (found.unreported, service.time.now) == (1, pytest.approx(60_000))


def test_a_late_report_of_a_time_that_was_kept_is_found_when_its_request_is_expected(tmp_path):
    """A run knows its requests: what is missing is looked for where nothing was to be expected any more."""
    service = LogService(VirtualTime())
    put_invocation(service, 1, T0)
    put_invocation(service, 2, T0 + 10, report_visible_ms=3_000)
    ids = {request_id(1), request_id(2)}
    found = read_cloudwatch_logs(
        None, [GROUP], T0, T0 + 99, expected_reports=ids, reader=reader(service, KeptLogs(tmp_path)), **options(service)
    )
    assert (len(found.events), found.unreported) == (4, 0)


@pytest.mark.parametrize(("until_reported", "events"), [(True, 4), (False, 3)])
def test_a_run_waits_for_what_its_client_never_saw_as_well(until_reported, events):
    """A stream's function runs on behind the API, and its REPORT comes later than the one the client has the id of."""
    service = LogService(VirtualTime())
    put_invocation(service, 1, T0)
    put_invocation(service, 2, T0 + 10, report_visible_ms=3_000)
    found = read_cloudwatch_logs(
        None,
        [GROUP],
        T0,
        T0 + 99,
        expected_reports={request_id(1)},
        until_reported=until_reported,
        reader=reader(service),
        **options(service),
    )
    assert (len(found.events), found.unreported) == (events, 0)


def test_only_a_stream_whose_first_report_carries_an_init_is_looked_up_to_its_beginning():
    """Elsewhere an hour before the window says whether the environment was reset; a stream may hold days."""
    service = LogService(VirtualTime(), per_page=100)
    old = Environment(now=T0 - 9_000_000).cold(1).wait(8_999_000).invoke(2).wait(10_000).invoke(3)
    ahead = Environment(now=T0 - 9_000_000).init_start().wait(9_001_000).invoke(4, init_duration_ms=900.0)
    for event in [*old.events, *ahead.events]:
        service.put(GROUP, event.log_stream, event.timestamp_ms or 0, event.message)
    found = read_cloudwatch_logs(
        None, [GROUP], T0, T0 + 60_000, reader=reader(service), look_back_ms=3_600_000, **options(service)
    )
    assert {(event.log_stream, event.message.split()[0]) for event in found.earlier} == {
        (old.stream, "START"),
        (old.stream, "END"),
        (old.stream, "REPORT"),
        (ahead.stream, "INIT_START"),
    }


def test_progress_ends_at_the_whole_range(tmp_path):
    told: list[Progress] = []
    service = LogService(VirtualTime(), per_page=2)
    for number in range(20):
        service.put(GROUP, "s", T0 + number * 50, report(number))
    reader(service, KeptLogs(tmp_path), on_progress=told.append).read([GROUP, OTHER], T0, T0 + 999)
    assert [step.read_ms for step in told] == sorted(step.read_ms for step in told)
    assert told[0].total_ms == 2_000
    assert (told[-1].events, told[-1].calls) == (20, len(service.calls) - 1)


def test_progress_tells_how_many_lines_are_waited_for():
    told: list[Progress] = []
    service = LogService(VirtualTime())
    put_invocation(service, 1, T0)
    put_invocation(service, 2, T0 + 50, report_visible_ms=2_000)
    reading = reader(service, on_progress=told.append)
    read_cloudwatch_logs(None, [GROUP], T0, T0 + 99, until_reported=True, reader=reading, **options(service))
    awaited = [step.awaited for step in told]
    first = awaited.index(1)
    assert first > 0
    assert set(awaited[first:-1]) == {1}, "reading again to look for it is no new beginning"
    assert all(step.read_ms == step.total_ms for step in told[first:])
    assert (awaited[-1], told[-1].events) == (0, 4)


# --- queries ---------------------------------------------------------------------------------------------------------


def test_queries_are_as_many_as_the_rows_need_and_scan_little_twice():
    service = LogService(VirtualTime(), per_page=50)
    for number in range(400):
        service.put(GROUP, "s", T0 + number * 2_000, report(number))
        service.put(GROUP, "s", T0 + number * 2_000, "an application's line")
    reading = reader(service, queries=True, rows_max=100, expected={GROUP: 800})
    found, _ = reading.read([GROUP], T0, T0 + 800_000)
    assert len(found[GROUP]) == 400
    assert service.count("FilterLogEvents") == 0
    assert service.count("StartQuery") == 10
    in_all = sum(len(event.message) for event in service.stored)
    assert in_all <= reading.scanned_bytes < 1.1 * in_all


def test_no_query_is_begun_beyond_what_may_be_scanned(tmp_path):
    """What was paid for is kept, so that pages can read the rest."""
    service = LogService(VirtualTime())
    for number in range(40):
        service.put(GROUP, "s", T0 + number * 10_000, report(number))
    size = len(report(1))
    limited = reader(
        service, KeptLogs(tmp_path), queries=True, rows_max=5, expected={GROUP: 40}, scanned_max=15.5 * size
    )
    with pytest.raises(TargetError, match=r"has scanned .* --max-cost is reached") as refused:
        limited.read([GROUP], T0, T0 + 400_000)
    assert "--no-insights" in (refused.value.hint or "")
    assert 15.5 * size < limited.scanned_bytes < 24 * size, "the query that passed the limit was the last"
    asked = service.count("StartQuery")
    found, _ = reader(service, KeptLogs(tmp_path)).read([GROUP], T0, T0 + 400_000)
    assert len(found[GROUP]) == 40
    assert service.count("StartQuery") == asked
    assert "log events are kept" in (refused.value.hint or "")


def test_a_query_that_nobody_waits_for_is_stopped():
    """What it would scan from then on would be paid for nothing."""
    service = LogService(VirtualTime(), query_polls=3, gone_at=frozenset({3}))
    service.put(GROUP, "s", T0, report(1))
    with pytest.raises(TargetError):
        reader(service, queries=True).read([GROUP], T0, T0 + 999)
    assert len(service.stopped) == 1


def test_what_is_too_new_for_insights_is_read_in_pages():
    service = LogService(VirtualTime())
    for at in (1_000, 9_000):
        service.put(GROUP, "s", T0 + at, report(at))
    reading = reader(service, queries=True, wall_ms=lambda: T0 + 5_000 + SETTLED_MS)
    assert len(reading.read([GROUP], T0, T0 + 20_000)[0][GROUP]) == 2
    assert (service.count("StartQuery"), service.count("FilterLogEvents")) == (1, 1)
