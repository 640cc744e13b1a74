"""What an invocation was, and what told."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.coldstarts.invocations import (
    KIND_SOURCES,
    KINDS,
    build_invocations,
    function_name,
    split_stream_name,
)
from serverless_lab.coldstarts.platform_events import read_event
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import ReportLine, render, render_start
from tests.coldstarts.story import T0, Environment, request_id


def kinds(*environments: Environment, **options) -> list[tuple[str, str]]:
    events = [event for environment in environments for event in environment.events]
    return [(row.kind, row.kind_source) for row in build_invocations(events, **options).rows]


# --- one story per kind ----------------------------------------------------------------------------------------------


def test_an_init_that_ends_at_start_is_a_cold_start_and_the_next_invocation_is_warm():
    """On demand, START follows the end of the init within milliseconds: the caller waited."""
    environment = Environment().cold(1).wait(100).invoke(2)
    assert kinds(environment) == [("cold", "init-start-gap"), ("warm", "report-field")]


def test_an_init_long_before_start_is_proactive():
    """Lambda may initialise ahead of traffic; the REPORT line has an Init Duration all the same."""
    environment = Environment().init_start().wait(90_000).invoke(1, init_duration_ms=230.0)
    assert kinds(environment) == [("proactive", "init-start-gap")]


def test_a_second_more_than_the_init_takes_is_the_border_to_proactive():
    at_border = Environment().init_start().wait(1_230).invoke(1, init_duration_ms=230.0)
    beyond = Environment(now=T0 + 60_000).init_start().wait(1_231).invoke(2, init_duration_ms=230.0)
    assert [kind for kind, _ in kinds(at_border, beyond)] == ["cold", "proactive"]


def test_an_init_report_without_a_phase_means_provisioned_concurrency():
    """Allocating provisioned concurrency writes INIT_REPORT; an on-demand init that succeeds does not."""
    environment = Environment(version="7").init_start().wait(5_000).init_report(4831.59).wait(3_600_000)
    environment.invoke(1, init_duration_ms=4831.59).wait(50).invoke(2)
    assert kinds(environment) == [("provisioned", "init-report"), ("warm", "report-field")]


def test_the_json_format_says_provisioned_itself():
    environment = Environment(version="7")
    environment.write(
        json.dumps(
            {
                "type": "platform.initStart",
                "record": {"initializationType": "provisioned-concurrency", "phase": "init"},
            }
        )
    )
    environment.wait(300).invoke(1, init_duration_ms=230.0)
    assert kinds(environment) == [("provisioned", "initialization-type")]


def test_a_restore_is_a_wait_of_its_own_kind():
    environment = Environment().restore(511.25)
    environment.invoke(1, restore_duration_ms=511.25, billed_restore_duration_ms=303).wait(10).invoke(2)
    assert kinds(environment) == [("restored", "report-field"), ("warm", "report-field")]


def test_a_timed_out_init_is_repeated_while_the_caller_waits():
    """The REPORT line then has no Init Duration: the second init is inside Duration."""
    environment = Environment().init_start().wait(10_000).init_report(9999.56, "init", "timeout")
    environment.wait(5_000).init_report(5000.0, "invoke", "error").invoke(1, 5545.81, status="error")
    assert kinds(environment) == [("init-repeated", "init-report")]


@pytest.mark.parametrize("status", ["timeout", "error"])
def test_after_a_crash_or_a_timeout_the_next_invocation_waits_for_another_init(status):
    """The log has no line for that suppressed init."""
    environment = Environment().cold(1, status=status).wait(10).invoke(2, 400.0).wait(10).invoke(3)
    assert kinds(environment)[1:] == [("init-repeated", "after-reset"), ("warm", "report-field")]


def test_an_error_the_handler_raised_resets_nothing():
    """Such an error leaves a REPORT line like any other, without a status."""
    assert kinds(Environment().cold(1).write("[ERROR] ValueError: boom").wait(5).invoke(2))[1][0] == "warm"


def test_the_init_phase_of_a_json_event_tells_a_suppressed_init():
    environment = Environment().cold(1)
    environment.write(json.dumps({"type": "platform.initStart", "record": {"phase": "invoke"}})).invoke(2, 400.0)
    result = build_invocations(environment.events)
    assert [row.kind for row in result.rows] == ["cold", "init-repeated"]
    assert len(result.inits or ()) == 1, "it is the same environment"


def json_event(kind: str, **record) -> str:
    return json.dumps({"time": "2025-11-24T16:00:00.000Z", "type": f"platform.{kind}", "record": record})


def test_the_report_of_an_init_says_provisioned_too_where_its_start_is_missing():
    environment = Environment(version="7")
    environment.write(
        json_event(
            "initReport", initializationType="provisioned-concurrency", phase="init", metrics={"durationMs": 230.0}
        )
    )
    environment.wait(300).invoke(1, init_duration_ms=230.0).wait(5).invoke(2)
    rows = build_invocations(environment.events).rows
    assert [(row.kind, row.kind_source) for row in rows] == [
        ("provisioned", "initialization-type"),
        ("warm", "report-field"),
    ]
    assert {row.initialization_type for row in rows} == {"provisioned-concurrency"}


def test_an_init_report_of_an_on_demand_init_says_nothing_of_provisioned_concurrency():
    """At system log level DEBUG every init has one."""
    environment = Environment()
    environment.write(json_event("initStart", initializationType="on-demand", phase="init")).wait(230)
    environment.write(
        json_event(
            "initReport", initializationType="on-demand", phase="init", status="success", metrics={"durationMs": 230.0}
        )
    )
    environment.invoke(1, init_duration_ms=230.0)
    assert kinds(environment) == [("cold", "init-start-gap")]


def test_runtime_done_is_not_another_invocation():
    """It names the request, a status and a duration, and it precedes the report of the same request."""
    environment = Environment().cold(1)
    done = json_event("runtimeDone", requestId=request_id(1), status="success", metrics={"durationMs": 19.0})
    result = build_invocations([*environment.write(done).events])
    assert (len(result.rows), result.unreadable, result.unfinished) == (1, {}, ())


def test_on_managed_instances_nobody_waits_for_an_init():
    """Requests go to environments that are ready, several at a time; their reports have a duration and nothing else."""
    environment = Environment(version="3")
    environment.write(json_event("initStart", initializationType="lambda-managed-instances", phase="init")).wait(9_000)
    starts = [json_event("start", requestId=request_id(number), version="3") for number in (1, 2)]
    reports = [
        json_event("report", requestId=request_id(number), metrics={"durationMs": 12.5}, status=status)
        for number, status in ((2, "error"), (1, "success"))
    ]
    for message in [*starts, *reports]:
        environment.write(message).wait(5)
    result = build_invocations(environment.events)
    assert [(row.kind, row.kind_source) for row in result.rows] == [("warm", "initialization-type")] * 2
    assert {row.initialization_type for row in result.rows} == {"lambda-managed-instances"}
    assert result.environments_initialised == 1


def test_a_managed_instance_without_its_init_start_is_known_by_its_report():
    environment = Environment().write(json_event("report", requestId=request_id(1), metrics={"durationMs": 12.5}))
    assert kinds(environment) == [("warm", "report-field")]


def test_an_error_of_the_functions_own_type_leaves_the_environment_as_it_is():
    """A response that is too large ends the invocation and not the runtime."""
    failed = {"status": "error", "error_type": "Function.ResponseSizeTooLarge"}
    assert kinds(Environment().cold(1, **failed).wait(5).invoke(2))[1] == ("warm", "report-field")


def test_a_report_that_lost_its_end_does_not_say_whether_there_was_an_init():
    """Init Duration stands behind Max Memory Used; without that field the line was cut before."""
    environment = Environment().write(f"REPORT RequestId: {request_id(1)}\tDuration: 3.01 ms\tBilled Duration: 4 ms")
    assert kinds(environment) == [("unknown", "nothing")]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (Environment().cold(1).wait(5).invoke(2), "on-demand"),
        (Environment().init_start().wait(90_000).invoke(1, init_duration_ms=230.0).wait(5).invoke(2), "on-demand"),
        (Environment().restore(500.0).invoke(1, restore_duration_ms=500.0).wait(5).invoke(2), "snap-start"),
        (
            Environment().init_start().init_report(230.0).wait(9_000).invoke(1, init_duration_ms=230.0).invoke(2),
            "provisioned-concurrency",
        ),
        (Environment().invoke(1, init_duration_ms=230.0).wait(5).invoke(2), None),
    ],
)
def test_how_an_environment_came_to_be_holds_for_all_its_invocations(environment, expected):
    """Provisioned concurrency and SnapStart always write an INIT_REPORT, so an init without one was on demand."""
    rows = build_invocations(environment.events).rows
    assert [row.initialization_type for row in rows] == [expected, expected]


# --- failures in the style used until 2024 ---------------------------------------------------------------------------


def test_a_line_about_a_timeout_becomes_the_status_of_its_report():
    """REPORT said nothing of it then. Lambda wrote the line after REPORT in the first years, later before END."""
    late = Environment().cold(1, ms=3003.28)
    late.write(f"2020-06-09T15:02:26.150Z {request_id(1)} Task timed out after 3.00 seconds\n\n")
    early = Environment().init_start().wait(232).write(render_start(request_id(2), "1")).wait(3_000)
    early.write(f"2024-03-04T17:22:38.033Z {request_id(2)} Task timed out after 3.00 seconds\n\n")
    early.write(render(ReportLine(request_id(2), 3004.92, 3117, 128, 33, init_duration_ms=111.23)))
    for environment in (late, early):
        assert [row.status for row in build_invocations(environment.events).rows] == ["timeout"]
        assert kinds(environment.wait(9).invoke(3, 300.0))[1] == ("init-repeated", "after-reset")


def test_a_line_about_a_crash_becomes_status_and_error_type():
    environment = Environment().cold(1)
    environment.events.insert(
        2,
        LogEvent(
            environment.group,
            environment.stream,
            environment.now,
            f"RequestId: {request_id(1)} Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n",
        ),
    )
    row = build_invocations(environment.events).rows[0]
    assert (row.status, row.error_type) == ("error", "Runtime.ExitError")


def test_of_several_attempts_the_one_nearest_in_time_timed_out():
    """Lambda retries an asynchronous invocation under its request id, also in the same environment."""
    environment = Environment().cold(1, ms=3000.0)
    environment.write(f"2020-06-09T15:02:26.150Z {request_id(1)} Task timed out after 3.00 seconds\n\n")
    environment.wait(60_000).invoke(1)
    assert [row.status for row in build_invocations(environment.events).rows] == ["timeout", None]


def test_a_failure_of_an_invocation_that_is_not_in_the_log_makes_no_row():
    line = f"2020-06-09T15:02:26.150Z {request_id(9)} Task timed out after 3.00 seconds\n\n"
    result = build_invocations(Environment().cold(1).write(line).events)
    assert [row.status for row in result.rows] == [None]
    assert result.unreadable == {}


# --- what the whole log tells ----------------------------------------------------------------------------------------


def test_three_numbers_that_are_often_taken_for_one_another_differ():
    """One environment unused, one provisioned, one on demand, one that had to repeat its init."""
    unused = Environment(version="7").init_start().init_report(200.0)
    provisioned = Environment(version="7").init_start().init_report(210.0).wait(60_000)
    provisioned.invoke(1, init_duration_ms=210.0)
    cold = Environment().cold(2)
    failed = Environment().init_start().wait(10_000).init_report(9999.56, "init", "timeout").invoke(3, 5545.81)
    result = build_invocations([event for one in (unused, provisioned, cold, failed) for event in one.events])
    assert (result.environments_initialised, result.carrying_init, result.callers_waited) == (4, 2, 2)


def test_an_invocation_after_a_restore_that_failed_is_of_no_known_kind():
    """The log has no word of how the environment came to be usable after all."""
    environment = (
        Environment().write("RESTORE_START Runtime Version: java:21.v82\tRuntime Version ARN: arn").wait(10_000)
    )
    environment.write("RESTORE_REPORT Restore Duration: 10000.00 ms\tStatus: timeout\n").invoke(1, 900.0)
    assert kinds(environment) == [("unknown", "nothing")]


def test_a_restored_environment_was_not_initialised():
    result = build_invocations(Environment().restore(511.25).invoke(1, restore_duration_ms=511.25).events)
    assert (result.inits or (), len(result.restores)) == ((), 1)
    assert result.carrying_init == 1


def test_a_log_of_failures_only_says_so():
    """At system log level WARN successful starts and reports are not written: any rate would be one of failures."""
    environment = Environment()
    for number in range(3):
        record = {"requestId": request_id(number), "status": "timeout", "metrics": {"durationMs": 5000.0}}
        environment.write(json_event("report", **record)).wait(9_000)
    assert build_invocations(environment.events).failures_only == ("orders",)
    assert build_invocations([*environment.events, *Environment().cold(9).events]).failures_only == ()
    failed_in_text = Environment().cold(1, status="error")
    assert build_invocations(failed_in_text.events).failures_only == (), "START shows that nothing was filtered"


def test_events_that_lambda_could_not_write_are_counted():
    environment = Environment().cold(1).write(json_event("logsDropped", droppedRecords=123, reason="too many"))
    assert build_invocations(environment.events).dropped_log_events == 123


def test_reports_that_stand_twice_are_counted_as_such():
    """Exports overlap, and Firehose delivers at least once."""
    events = Environment().cold(1).wait(5).invoke(2).events
    result = build_invocations([*events, *events])
    assert (len(result.rows), result.repeated_reports) == (4, 2)
    assert build_invocations(events).repeated_reports == 0


def test_files_that_overlap_change_no_kind():
    """START and INIT_START stand twice, too: they must not use up one another's init."""
    provisioned = Environment(version="7").init_start().wait(900).init_report(880.0).wait(60_000)
    provisioned.invoke(1, init_duration_ms=880.0).wait(5).invoke(2)
    crashed = Environment(now=T0 + 5).cold(3, status="timeout").wait(5).invoke(4)
    events = [*provisioned.events, *crashed.events]
    once = build_invocations(events)
    twice = build_invocations([*events, *events])
    neighbours = build_invocations([event for event in events for _ in (1, 2)])
    assert [row.kind for row in once.rows] == ["cold", "init-repeated", "provisioned", "warm"]
    for result in (twice, neighbours):
        assert list(result.rows) == [row for row in once.rows for _ in (1, 2)]
        assert (result.environments_initialised, len(result.unfinished)) == (2, 0)


def test_a_line_about_a_failure_that_stands_twice_is_the_status_of_both_reports():
    environment = Environment().cold(1)
    environment.write(f"2025-11-24T16:00:03.000Z {request_id(1)} Task timed out after 3.00 seconds\n\n")
    result = build_invocations([*environment.events, *environment.events])
    assert [row.status for row in result.rows] == ["timeout", "timeout"]


def test_a_start_that_stands_behind_its_report_in_one_millisecond_began_it_all_the_same():
    """An export promises no order, and an invocation may take less than a millisecond."""
    environment = Environment().cold(1).wait(5)
    first = len(environment.events)
    environment.invoke(2, 0.4)
    start, end, report = environment.events[first:]
    result = build_invocations([*environment.events[:first], report, start, end])
    assert result.unfinished == ()
    assert [(row.kind, row.start_timestamp) for row in result.rows[1:]] == [("warm", start.timestamp_ms)]


def test_an_init_report_between_start_and_report_is_about_that_invocation():
    """The next one has nothing to do with it."""
    environment = Environment().init_start().wait(10_000).init_report(9999.56, "init", "timeout").wait(10)
    environment.write(render_start(request_id(1), "$LATEST")).wait(4_800).init_report(4800.0, "invoke", "timeout")
    environment.write(render(ReportLine(request_id(1), 5545.81, 5546, 256, 80))).wait(5).invoke(2)
    assert kinds(environment) == [("init-repeated", "init-report"), ("warm", "report-field")]


def test_report_lines_alone_do_not_show_which_environments_were_initialised():
    """A query for REPORT has no INIT_START, whether there were any or not: none is not 0."""
    events = Environment().invoke(1).wait(5).invoke(2).events
    assert build_invocations(events).environments_initialised == 0
    reports = [event for event in events if event.message.startswith("REPORT")]
    assert build_invocations(reports).environments_initialised is None


def test_the_function_is_named_by_the_json_events_where_the_group_is_not_known():
    stream = "2026/11/24/[1]" + "a" * 32
    arn = "arn:aws:lambda:eu-central-1:123456789012:function:orders"
    messages = [
        json_event("start", requestId=request_id(1), functionArn=arn, version="1"),
        json_event("report", requestId=request_id(1), metrics={"durationMs": 12.5}),
    ]
    for name in (stream, ""):
        events = [LogEvent("", name, T0 + at, message) for at, message in enumerate(messages)]
        assert [row.function for row in build_invocations(events).rows] == ["orders"]
    start = json_event("initStart", functionName="orders", phase="init")
    events = [LogEvent("", stream, T0, start), LogEvent("", stream, T0 + 1, render(ReportLine(request_id(1), 1.0)))]
    assert [row.function for row in build_invocations(events).rows] == ["orders"]


def test_a_line_without_a_time_stays_where_it_stands():
    environment = Environment().cold(1).wait(5).invoke(2)
    untimed = [
        replace(event, timestamp_ms=None) if isinstance(read_event(event.message), ReportLine) else event
        for event in environment.events
    ]
    assert [row.kind for row in build_invocations(untimed).rows] == ["cold", "warm"]


# --- targets that print less -----------------------------------------------------------------------------------------


def localstack(*numbers: int, start: int = T0) -> Environment:
    """LocalStack: one stream per environment, no INIT_START, no Init Duration, one timestamp per invocation."""
    environment = Environment(now=start)
    for number in numbers:
        environment.write(render_start(request_id(number), "$LATEST"))
        environment.write(render(ReportLine(request_id(number), 20.0, 21, 256, 256))).wait(100)
    return environment


def test_without_init_durations_the_first_of_a_stream_is_the_cold_one():
    result = build_invocations(localstack(1, 2, 3).events, reports_init_duration=False)
    assert [(row.kind, row.kind_source) for row in result.rows] == [
        ("cold", "first-in-stream"),
        ("warm", "first-in-stream"),
        ("warm", "first-in-stream"),
    ]
    assert all(row.init_duration_ms is None for row in result.rows)
    assert len(result.inits or ()) == 1


def test_a_stream_that_began_before_the_window_has_no_first_invocation_in_it():
    """Environments outlive a run: what they did earlier makes no row, and no cold start of this run."""
    environment = localstack(1, 2)
    result = build_invocations(environment.events[2:], earlier=environment.events[:2], reports_init_duration=False)
    assert [(row.request_id, row.kind) for row in result.rows] == [(request_id(2), "warm")]
    assert result.inits == ()


def test_with_provisioned_concurrency_the_first_of_a_stream_tells_nothing():
    result = build_invocations(localstack(1, 2).events, reports_init_duration=False, provisioned_functions={"orders"})
    assert [row.kind for row in result.rows] == ["unknown", "warm"]


def test_where_every_invocation_has_a_stream_of_its_own_nothing_can_be_told():
    """MiniStack: neither Init Duration nor the stream tells; saying warm would be a claim."""
    events = [event for number in range(4) for event in localstack(number).events]
    result = build_invocations(events, reports_init_duration=False, one_stream_per_environment=False)
    assert {row.kind for row in result.rows} == {"unknown"}
    assert {row.environment_id for row in result.rows} == {None}
    assert result.inits is None


def test_the_init_duration_of_the_runtime_interface_emulator_is_not_used():
    """It times the start of a goroutine; the real init is inside Duration."""
    environment = Environment()
    environment.write(
        f"REPORT RequestId: {request_id(1)}\tInit Duration: 0.03 ms\tDuration: 1106.27 ms\tBilled Duration: 1107 ms\t\n"
    )
    result = build_invocations(environment.events)
    assert result.rows[0].init_duration_ms is None
    assert result.rows[0].kind != "warm"
    assert result.ignored_init_durations == 1


# --- what is not a whole invocation ----------------------------------------------------------------------------------


def test_a_start_without_a_report_is_counted_and_makes_no_row():
    environment = Environment().cold(1).wait(10).write(render_start(request_id(2), "$LATEST"))
    result = build_invocations(environment.events)
    assert len(result.rows) == 1
    assert [open_.request_id for open_ in result.unfinished] == [request_id(2)]


def test_a_report_without_a_start_still_counts():
    """`Invoke` hands out the last 4 KB of a log: START may be cut off."""
    environment = Environment().init_start().wait(232)
    environment.write(render(ReportLine(request_id(1), 0.0, 1, 256, 80, init_duration_ms=230.0)))
    row = build_invocations(environment.events).rows[0]
    assert (row.kind, row.start_timestamp) == ("cold", None)


def test_platform_lines_that_cannot_be_read_are_counted_by_function():
    environment = Environment().cold(1).write("REPORT RequestId: x\tDuration: gone").write("START of the day")
    assert build_invocations(environment.events).unreadable == {"orders": 1}


def test_an_environment_that_was_never_used_is_counted_as_initialised():
    """Provisioned concurrency leaves streams that hold an INIT_START alone."""
    result = build_invocations([*Environment().cold(1).events, *Environment().init_start().events])
    assert len(result.inits or ()) == 2
    assert len(result.rows) == 1


def test_one_request_id_may_have_several_reports():
    """Lambda retries an asynchronous invocation under its first request id."""
    environment = Environment().cold(1).wait(60_000).invoke(1)
    assert [row.kind for row in build_invocations(environment.events).rows] == ["cold", "warm"]


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "environment", "version"),
    [
        ("2026/10/09/[$LATEST]" + "a" * 32, "a" * 32, "$LATEST"),
        ("2024/03/05/replicate[12]" + "b" * 32, "b" * 32, "12"),
        ("something else", "something else", None),
        ("", None, None),
    ],
)
def test_a_streams_name_tells_environment_and_version(stream, environment, version):
    assert split_stream_name(stream) == (environment, version)


def test_in_a_group_of_the_users_own_naming_the_stream_names_the_function():
    assert function_name("/aws/lambda/orders") == "orders"
    assert function_name("/shop/all", "2024/03/05/replicate[12]" + "b" * 32) == "replicate"
    assert function_name("/shop/all", "x") == "/shop/all"


# --- properties ------------------------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from(["cold", "invoke", "proactive", "crash", "restore", "open", "broken"]), st.integers(0, 5_000)
    ),
    max_size=12,
)


@given(st.lists(steps, max_size=4), st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_every_report_makes_one_row_with_one_kind_whatever_the_order_of_streams(stories, shuffle, reports, streams):
    """Groups and streams come in any order from a target; within one stream events keep theirs."""
    environments = []
    number = 0
    expected = 0
    for story in stories:
        environment = Environment()
        for step, wait in story:
            number += 1
            environment.wait(wait)
            expected += step not in ("open", "broken")
            match step:
                case "cold":
                    environment.cold(number)
                case "invoke":
                    environment.invoke(number)
                case "proactive":
                    environment.init_start().wait(10_000).invoke(number, init_duration_ms=100.0)
                case "crash":
                    environment.invoke(number, status="error", error_type="Runtime.ExitError")
                case "restore":
                    environment.restore(100.0).invoke(number, restore_duration_ms=100.0)
                case "open":
                    environment.write(render_start(request_id(number), "1"))
                case "broken":
                    environment.write("REPORT RequestId: x\tDuration: none")
        environments.append(environment)
    options = {"reports_init_duration": reports, "one_stream_per_environment": streams}
    events = [event for environment in environments for event in environment.events]
    result = build_invocations(events, **options)
    assert len(result.rows) == expected
    assert {row.kind for row in result.rows} <= set(KINDS)
    assert {row.kind_source for row in result.rows} <= set(KIND_SOURCES)
    assert len(result.unfinished) == sum(step == "open" for story in stories for step, _ in story)
    shuffle.shuffle(environments)
    mixed = [event for environment in environments for event in environment.events]
    assert build_invocations(mixed, **options) == result


@given(st.lists(st.text(max_size=80), max_size=20))
def test_an_applications_output_changes_nothing(lines):
    told = Environment(function="a").cold(1).wait(10).invoke(2)
    mixed: list[LogEvent] = []
    rng = random.Random(0)
    for event in told.events:
        mixed.append(event)
        mixed.extend(
            LogEvent(event.log_group, event.log_stream, event.timestamp_ms, "app: " + line)
            for line in lines
            if rng.random() < 0.5
        )
    assert build_invocations(mixed) == build_invocations(told.events)
