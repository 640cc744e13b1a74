"""Cold starts where no Init Duration is printed, told by the lines of the module that `lab deploy` adds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from serverless_lab.coldstarts.digest import digest_paths
from serverless_lab.coldstarts.files import read_paths
from serverless_lab.coldstarts.frame import SavedInvocations, init_plus_duration_ms
from serverless_lab.coldstarts.invocations import Invocations, build_invocations
from serverless_lab.coldstarts.lifetimes import environments_over_time
from serverless_lab.coldstarts.platform_events import is_platform_event, read_event
from serverless_lab.coldstarts.report import make_report
from serverless_lab.coldstarts.wrapper_lines import WrapperInvocation
from tests.coldstarts.story import T0, Environment, request_id

LOCALSTACK: dict[str, Any] = {"reports_init_duration": False}
MINISTACK: dict[str, Any] = {"reports_init_duration": False, "one_stream_per_environment": False}


def line(kind: str, environment: str, lines: str = "first", **record: Any) -> str:
    record = {"environmentId": environment, **record, "lines": lines}
    return json.dumps({"time": "2026-11-24T19:00:00.000Z", "type": f"serverless-lab.{kind}", "record": record})


def init(environment: str, ms: float = 231.5, **record: Any) -> str:
    return line("init", environment, durationMs=ms, startedAtMs=T0 + 0.25, status="success", **record)


def invocation(environment: str, number: int, sequence: int = 1, **record: Any) -> str:
    first = {"initDurationMs": 231.5, "sinceInitMs": 1.5} if sequence == 1 else {}
    return line("invocation", environment, requestId=request_id(number), sequence=sequence, **first, **record)


class Served(Environment):
    """An invocation as MiniStack logs it: a stream of its own, everything at one instant, the init within."""

    def __init__(self, process: str, number: int, sequence: int, now: int = T0) -> None:
        super().__init__(now=now)
        if sequence == 1:
            self.write(init(process, lines="all"))
        self.write(invocation(process, number, sequence, lines="all"))
        self.invoke(number, ms=0.0)


def told(*environments: Environment, **options: Any) -> Invocations:
    return build_invocations([event for item in environments for event in item.events], **options)


def kinds(found: Invocations) -> list[tuple[str, str]]:
    return [(row.kind, row.kind_source) for row in found.rows]


def test_on_localstack_the_line_before_start_is_a_cold_start_and_has_its_time():
    environment = Environment(version="3")
    environment.write(init("a" * 32)).write(invocation("a" * 32, 1)).invoke(1).wait(5).invoke(2)
    found = told(environment, **LOCALSTACK)
    assert kinds(found) == [("cold", "wrapper"), ("warm", "first-in-stream")]
    assert [row.init_duration_ms for row in found.rows] == [231.5, None]
    assert found.environments_initialised == 1
    assert found.carrying_init == 0, "no REPORT line has it"
    assert found.callers_waited == 1


def test_a_provisioned_environment_is_none_that_somebody_waited_for():
    """LocalStack says in the function's environment how it came to be; its stream looks like any other."""
    environment = Environment(version="3").write(init("a" * 32, initializationType="provisioned-concurrency"))
    environment.wait(60_000).write(invocation("a" * 32, 1, initializationType="provisioned-concurrency")).invoke(1)
    unused = Environment(version="3").write(init("b" * 32, initializationType="provisioned-concurrency"))
    found = told(environment, unused, **LOCALSTACK, provisioned_functions=["orders"])
    assert kinds(found) == [("provisioned", "wrapper")]
    assert found.environments_initialised == 2, "one of them was never used"
    assert found.callers_waited == 0


def test_a_process_that_follows_a_crash_in_the_same_environment_is_an_init_repeated():
    """Its init is within Duration: it must not be added to it once more."""
    environment = Environment(version="3")
    environment.write(init("a" * 32)).write(invocation("a" * 32, 1)).invoke(1).wait(5)
    environment.write(init("a" * 32)).write(invocation("a" * 32, 2)).invoke(2, ms=400.0)
    found = told(environment, **LOCALSTACK)
    assert kinds(found) == [("cold", "wrapper"), ("init-repeated", "wrapper")]
    assert found.environments_initialised == 1
    saved = SavedInvocations.from_invocations(found)
    assert init_plus_duration_ms(saved.frame).tolist() == [251.5, 400.0]


def test_without_the_line_the_place_in_the_stream_tells():
    """A function that was not wrapped, beside one that was."""
    wrapped = Environment(version="3").write(init("a" * 32)).write(invocation("a" * 32, 1)).invoke(1)
    other = Environment("stock", now=T0 + 5).invoke(2).wait(5).invoke(3)
    assert [source for _, source in kinds(told(wrapped, other, **LOCALSTACK))] == [
        "wrapper",
        "first-in-stream",
        "first-in-stream",
    ]


def test_on_ministack_the_lines_decide_and_a_stream_says_nothing():
    served = [Served("a" * 32, 1, 1), Served("b" * 32, 2, 1, T0 + 5), Served("a" * 32, 3, 2, T0 + 10)]
    found = told(*served, **MINISTACK)
    assert kinds(found) == [
        ("cold", "wrapper-in-duration"),
        ("cold", "wrapper-in-duration"),
        ("warm", "wrapper-in-duration"),
    ]
    assert [row.environment_id for row in found.rows] == ["a" * 32, "b" * 32, "a" * 32]
    assert found.environments_initialised == 2
    assert {row.init_start_timestamp for row in found.rows} == {T0, None}


def test_an_invocation_that_left_no_line_is_unknown_and_never_warm():
    """Its init may have failed before the module was there, or its output may have been lost."""
    found = told(Served("a" * 32, 1, 1), Environment(now=T0 + 5).invoke(2), **MINISTACK)
    assert kinds(found)[1] == ("unknown", "nothing")


def test_a_line_that_came_with_another_invocations_output_counts_for_its_own():
    """MiniStack gives the output that comes late to the next invocation of the process."""
    first = Environment().invoke(1)
    second = Environment(now=T0 + 50)
    for number, sequence in ((1, 1), (2, 2)):
        second.write(invocation("a" * 32, number, sequence, lines="all"))
    found = told(first, second.invoke(2), **MINISTACK)
    assert [kind for kind, _ in kinds(found)] == ["cold", "warm"]
    assert found.environments_initialised == 1, "known by its first invocation: the line of its init was lost"


def test_files_of_such_a_log_are_read_by_the_lines_too():
    """Nothing says of a file where it comes from; a REPORT line without an Init Duration would be a warm one on AWS."""
    found = told(Served("a" * 32, 1, 1), Served("a" * 32, 2, 2, T0 + 9), Environment(now=T0 + 20).invoke(3))
    assert [kind for kind, _ in kinds(found)] == ["cold", "warm", "unknown"]


def test_the_same_log_as_files_tells_the_same(tmp_path):
    """An export has a line's time before it; a large one would be read by the digest, which knows no such lines."""
    served = [Served("a" * 32, 1, 1), Served("b" * 32, 2, 1, T0 + 5), Served("a" * 32, 3, 2, T0 + 10)]
    for at, stream in enumerate(served):
        stamp = "2026-11-24T19:00:00.000Z"
        text = "".join(f"{stamp} {event.message.rstrip()}\n" for event in stream.events)
        folder = tmp_path / f"2026-11-24-[1]{at:032x}"
        folder.mkdir()
        (folder / "000000").write_text(text)
    reading = read_paths([tmp_path], function="orders")
    assert [row.kind for row in reading.invocations.rows] == ["cold", "cold", "warm"]
    assert digest_paths([tmp_path], bin_ms=1000, function="orders", processes=1) is None
    for file in tmp_path.rglob("000000"):
        lines = [line for line in file.open() if "serverless-lab" not in line]
        # AWS prints two decimals; whole milliseconds alone are MiniStack's.
        file.write_text("".join(lines).replace(".00 ms", ".01 ms"))
    assert digest_paths([tmp_path], bin_ms=1000, function="orders", processes=1) is not None


def test_on_aws_the_platforms_own_word_counts():
    environment = Environment().init_start().wait(230).write(init("a" * 32)).write(invocation("a" * 32, 1))
    environment.invoke(1, init_duration_ms=310.0).wait(9).invoke(2)
    found = told(environment)
    assert kinds(found) == [("cold", "init-start-gap"), ("warm", "report-field")]
    assert found.rows[0].init_duration_ms == 310.0
    assert found.environments_initialised == 1
    assert found.carrying_init == 1


def test_the_report_says_what_told_and_what_such_an_init_is():
    saved = SavedInvocations.from_invocations(told(Served("a" * 32, 1, 1), Served("a" * 32, 2, 2), **MINISTACK))
    report = make_report({}, saved, None)
    notes = " ".join(report.notes)
    assert "Kinds known by the module that `lab deploy` added to the functions: 2." in notes
    assert "without the start of the runtime" in notes
    assert "init+run is the Duration" in notes
    assert report.total.cold_starts.count == 1
    assert report.total.with_init == 0


def test_a_users_line_that_only_looks_so_is_none():
    for text in ('{"type":"serverless-lab.init"}', '{"type":"serverless-lab.init","record":{"environmentId":1}}'):
        assert read_event(text) is None
    assert not is_platform_event('my text names "serverless-lab.init"')
    event = read_event(invocation("a" * 32, 7) + "\n")
    assert isinstance(event, WrapperInvocation)


class Stored(Environment):
    """An invocation as LocalStack 4.8.1 logs it: every line of it with the time at which they were stored."""

    def __init__(self, began: int, number: int, *, init_ms: float, ms: float, stored: int) -> None:
        super().__init__(version="3", now=stored)
        environment = self.stream[-32:]
        self.write(line("init", environment, durationMs=init_ms, startedAtMs=began, status="success"))
        first = {"initDurationMs": init_ms, "sinceInitMs": 2.0}
        self.write(line("invocation", environment, requestId=request_id(number), sequence=1, **first))
        self.served(number, ms)

    def served(self, number: int, ms: float) -> Environment:
        at = self.now
        self.now -= round(ms)
        self.invoke(number, ms)
        for place in (-3, -2, -1):
            self.events[place] = replace(self.events[place], timestamp_ms=at)
        self.now = at
        return self


def test_a_burst_whose_lines_are_stored_one_after_the_other_was_at_work_at_once():
    """LocalStack stores what a busy machine has done when it comes to it, and stamps it then."""
    burst = [Stored(T0 + at, at, init_ms=300.0, ms=50.0, stored=T0 + 2_000 + 100 * at) for at in range(1, 6)]
    found = told(*burst, **LOCALSTACK)
    assert [row.start_timestamp for row in found.rows] == [T0 + at + 302 for at in range(1, 6)]
    assert [row.timestamp for row in found.rows] == [T0 + at + 352 for at in range(1, 6)]
    assert [row.init_start_timestamp for row in found.rows] == [T0 + at for at in range(1, 6)]
    assert found.inits is not None
    assert [init.timestamp for init in found.inits] == [T0 + at for at in range(1, 6)]
    environments = environments_over_time(SavedInvocations.from_invocations(found).frame, None)
    assert environments is not None
    assert (environments.alive_max, environments.busy_max, environments.began) == (5, 5, 5)


def test_a_later_invocation_began_its_duration_before_its_line_was_stored():
    environment = Stored(T0, 1, init_ms=300.0, ms=50.0, stored=T0 + 360).wait(640)
    found = told(environment.served(2, 40.0), **LOCALSTACK)
    assert [(row.start_timestamp, row.timestamp) for row in found.rows] == [
        (T0 + 302, T0 + 352),
        (T0 + 960, T0 + 1_000),
    ]


def test_a_process_that_follows_a_crash_began_within_its_duration():
    """The first process's init says nothing of when the second one ran."""
    environment = Stored(T0, 1, init_ms=300.0, ms=50.0, stored=T0 + 360).wait(640)
    again = environment.stream[-32:]
    environment.write(init(again)).write(invocation(again, 2))
    found = told(environment.served(2, 400.0), **LOCALSTACK)
    assert found.rows[1].kind == "init-repeated"
    assert (found.rows[1].start_timestamp, found.rows[1].timestamp) == (T0 + 600, T0 + 1_000)


def test_on_ministack_an_invocation_began_its_duration_before_its_end():
    """Its Duration begins with the wait for the process."""
    served = Served("a" * 32, 1, 1, now=T0 + 900)
    served.events = [event for event in served.events if "RequestId" not in event.message]
    found = told(Stored.served(served, 1, 850.0), **MINISTACK)
    [row] = found.rows
    assert (row.start_timestamp, row.timestamp, row.init_start_timestamp) == (T0 + 50, T0 + 900, T0)


def test_a_line_is_not_stored_before_what_it_tells_whatever_another_clock_says():
    found = told(Stored(T0 + 60_000, 1, init_ms=300.0, ms=50.0, stored=T0 + 400), **LOCALSTACK)
    assert (found.rows[0].start_timestamp, found.rows[0].timestamp) == (T0 + 400, T0 + 400)


def test_lines_with_times_of_their_own_keep_them():
    environment = Environment(version="3").write(init("a" * 32)).write(invocation("a" * 32, 1)).invoke(1, ms=50.0)
    [row] = told(environment, **LOCALSTACK).rows
    assert (row.start_timestamp, row.timestamp) == (T0, T0 + 50)
