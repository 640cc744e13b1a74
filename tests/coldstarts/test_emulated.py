"""Log files that an emulator wrote which prints no init: their REPORT lines say nothing of cold starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serverless_lab.coldstarts.file_reports import report_files
from serverless_lab.coldstarts.gates import UNTOLD, evaluate, parse_gate
from tests.coldstarts.story import T0, Environment
from tests.coldstarts.story_files import write_logs


def stored(environment: Environment) -> Environment:
    """Its lines with the time at which they were stored: the same for START and REPORT."""
    times = [event.timestamp_ms for event in environment.events]
    environment.events = [
        replace(event, timestamp_ms=times[at - at % 3 + 2]) for at, event in enumerate(environment.events)
    ]
    return environment


def localstack(function: str = "orders") -> list[Environment]:
    """Two environments, and the memory size for Max Memory Used in every line."""
    first = Environment(function)
    for number in range(3):
        first.invoke(number, 20.35, max_memory_used_mb=256).wait(5)
    return [stored(first), stored(Environment(function, T0 + 7).invoke(9, 3.01, max_memory_used_mb=256))]


def test_a_log_of_localstack_is_not_one_of_warm_invocations(tmp_path):
    """It never prints an Init Duration. 0 % would pass every gate."""
    found = report_files([write_logs(tmp_path, localstack())])
    assert found.total.kinds == {"unknown": 4}
    assert (found.total.cold_starts.count, found.total.environments, found.total.max_memory_used_mb) == (
        None,
        None,
        None,
    )
    assert [verdict.outcome for verdict in evaluate(found, [parse_gate("cold_rate > 5%")])] == [UNTOLD]
    assert any("looks like an emulator's" in note and "orders" in note for note in found.notes)
    assert found.total.duration_ms.max == 20.35, "durations are measured"


def test_a_log_of_ministack_is_not_one_of_warm_invocations(tmp_path):
    """Whole milliseconds, and a log stream of its own for every invocation."""
    streams = [stored(Environment("orders", T0 + 10 * n).invoke(n, 42.0 + n)) for n in range(3)]
    found = report_files([write_logs(tmp_path, streams)])
    assert found.total.kinds == {"unknown": 3}
    assert found.total.max_memory_used_mb == 80, "that it measures"


@pytest.mark.parametrize(
    "sign",
    [
        Environment("orders", T0 + 9).cold(20, max_memory_used_mb=256),
        Environment("orders", T0 + 9).init_start(),
        Environment("orders", T0 + 9).invoke(20, max_memory_used_mb=255),
        stored(Environment("orders", T0 + 9).invoke(20, max_memory_used_mb=256, status="timeout")),
        Environment("orders", T0 + 9).invoke(20, max_memory_used_mb=256),
    ],
    ids=["an init", "an environment that began", "memory that is left", "a status", "time from START to REPORT"],
)
def test_one_sign_of_lambda_itself_is_enough(tmp_path, sign):
    """A function may use all of its memory on AWS, too."""
    found = report_files([write_logs(tmp_path, [*localstack(), sign])])
    assert found.total.kinds["warm"] >= 4
    assert not any("emulator" in note for note in found.notes)


def test_two_lines_are_no_sign_yet(tmp_path):
    environment = Environment().invoke(1, 20.35, max_memory_used_mb=256).wait(5).invoke(2, max_memory_used_mb=256)
    assert report_files([write_logs(tmp_path, [stored(environment)])]).total.kinds == {"warm": 2}


def test_the_log_of_another_function_beside_it_is_read_as_ever(tmp_path):
    found = report_files([write_logs(tmp_path, [*localstack(), Environment("mail").cold(30).wait(5).invoke(31)])])
    assert {summary.function: summary.kinds for summary in found.functions} == {
        "mail": {"cold": 1, "warm": 1},
        "orders": {"unknown": 4},
    }
