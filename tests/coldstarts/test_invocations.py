"""What an invocation was, and what told."""

from __future__ import annotations

import json
import random

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
