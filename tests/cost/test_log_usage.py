"""What REPORT lines are billed, by today's rules."""

from __future__ import annotations

from decimal import Decimal

import pytest

from serverless_lab.coldstarts.digest import digest_paths
from serverless_lab.coldstarts.file_reports import from_digest, report_files
from serverless_lab.cost.log_usage import architectures, usage_of_frame, usage_of_report
from tests.coldstarts.story import T0, Environment
from tests.coldstarts.story_files import write_export
from tests.cost.frames import INGEST, PROCESS, cold, frame, line

HALF_A_GB = Decimal("0.5")


def test_billed_duration_times_memory_is_what_is_billed():
    found = usage_of_frame(frame(line(), line(duration_ms=299.5, billed_duration_ms=300), cold()))
    assert found.usage.get("lambda.requests") == 3
    assert found.usage.get("lambda.duration.x86_64") == Decimal("1.0") * HALF_A_GB
    assert found.notes == ()


def test_the_init_is_in_it_since_august_2025():
    """And how much of the bill it is can be told apart."""
    found = usage_of_frame(frame(cold(500.0, 600), line()))
    assert found.gb_s == Decimal("0.7") * HALF_A_GB
    assert found.init_gb_s == Decimal("0.5") * HALF_A_GB


def test_a_log_from_before_is_billed_as_it_would_be_today():
    """Then Billed Duration had no init in it: at today's rules the same invocations cost more, and that is said."""
    found = usage_of_frame(frame(*[cold(500.0, 100)] * 3, line()))
    assert found.logged_gb_s == Decimal("0.4") * HALF_A_GB
    assert found.gb_s == Decimal("1.9") * HALF_A_GB  # three times ceil(99.5 + 500) and once 100 ms
    assert "init-free" in found.notes[0]
    assert "+375.0%" in found.notes[0]


def test_a_log_of_100_ms_steps_is_billed_by_the_millisecond():
    old = [line(duration_ms=ms, billed_duration_ms=100) for ms in (1.2, 41.5, 73.01)]
    found = usage_of_frame(frame(*old))
    assert found.gb_s == (2 + 42 + 74) / Decimal(1000) * HALF_A_GB


def test_lines_without_billed_duration_are_billed_by_the_rule():
    found = usage_of_frame(frame(cold(500.3, None), line(billed_duration_ms=None), line()))
    assert found.gb_s == (600 + 100 + 100) / Decimal(1000) * HALF_A_GB
    assert any("2 lines state no Billed Duration" in note for note in found.notes)


def test_invocations_under_provisioned_concurrency_have_prices_of_their_own():
    """The first line of such an environment carries an Init Duration that nobody waited for, nor is billed again."""
    first = line(kind="provisioned", initialization_type="provisioned-concurrency", init_duration_ms=900.0)
    later = line(initialization_type="provisioned-concurrency")
    found = usage_of_frame(frame(first, later, line()))
    assert found.usage.get("lambda.provisioned.requests") == 2
    assert found.usage.get("lambda.provisioned.duration.x86_64") == Decimal("0.2") * HALF_A_GB
    assert found.usage.get("lambda.requests") == 1
    assert found.init_gb_s == 0


def test_each_function_is_billed_on_its_architecture():
    found = usage_of_frame(
        frame(line(), line(function=PROCESS, memory_size_mb=1024)), architectures([(PROCESS, "arm64")])
    )
    assert found.usage.get("lambda.duration.x86_64") == Decimal("0.05")
    assert found.usage.get("lambda.duration.arm64") == Decimal("0.1")
    assert found.functions == (INGEST, PROCESS)


def test_a_restore_is_billed_and_what_snapstart_costs_beside_is_said_to_be_missing():
    restored = line(kind="restored", restore_duration_ms=400.0, billed_restore_duration_ms=300, billed_duration_ms=400)
    found = usage_of_frame(frame(restored))
    assert found.gb_s == Decimal("0.4") * HALF_A_GB
    assert "SnapStart" in found.notes[0]


def test_lines_without_memory_are_billed_as_requests_only():
    found = usage_of_frame(frame(line(memory_size_mb=None), line()))
    assert found.usage.get("lambda.requests") == 2
    assert "1 invocations have no memory size" in found.notes[0]


def test_an_empty_log_costs_nothing():
    found = usage_of_frame(frame())
    assert dict(found.usage.quantities) == {}
    assert found.invocations == 0


@pytest.mark.parametrize("count", [1, 7])
def test_the_sum_of_parts_is_the_whole(count):
    lines = [cold(100.0 + n, None) for n in range(count)]
    whole = usage_of_frame(frame(*lines)).gb_s
    assert whole == sum(usage_of_frame(frame(one)).gb_s for one in lines)


def test_the_digest_of_large_logs_is_billed_like_the_lines_themselves(tmp_path):
    """Above 32 MB no single invocation is kept; what it sums up makes the same bill."""
    write_export(tmp_path / "logs", _modern_story())
    paths = [tmp_path / "logs"]
    digest = digest_paths(paths, bin_ms=300_000)
    assert digest is not None
    summed = usage_of_report(from_digest(digest, paths, by=("function", "memory")))
    whole = report_files(paths)
    assert whole.saved is not None
    assert summed.usage == usage_of_frame(whole.saved.frame).usage
    assert summed.invocations == 4
    assert "large" in summed.notes[0]


def _modern_story() -> list[Environment]:
    first = Environment("orders", T0).cold(1, 230.0, 20.0, billed_duration_ms=250).wait(1_000)
    first.invoke(2, 20.0, billed_duration_ms=20)
    second = Environment("mail", T0).cold(3, 99.5, 10.0, billed_duration_ms=110, memory_size_mb=1024).wait(5)
    return [first, second.invoke(4, 10.0, billed_duration_ms=10, memory_size_mb=1024)]
