"""What a function's code can do, and what AWS's log and answer would be: with real processes."""

from __future__ import annotations

import base64
import errno
import os
import re
import resource
import select
from pathlib import Path

import pytest

from serverless_lab.report_line import parse
from tests.emulator.conftest import Emulator, zip_of

pytestmark = pytest.mark.process

INIT_START = re.compile(r"INIT_START Runtime Version: \S+\tRuntime Version ARN: arn:\S+\n")


def test_a_cold_and_a_warm_invoke_leave_the_lines_aws_leaves(emulator: Emulator):
    """One stream, INIT_START once, Init Duration in the first REPORT only, and Billed is the rounded sum of both."""
    name = emulator.create("lines", "print('at import')\ndef handler(event, context):\n    print('called')\n")
    first, second = emulator.invoke(name), emulator.invoke(name)
    events = emulator.log(name)
    assert len({stream for stream, _ in events}) == 1
    messages = [message for _, message in events]
    assert INIT_START.fullmatch(messages[0])
    assert messages[1:5] == [
        "at import\n",
        f"START RequestId: {first.request_id} Version: $LATEST\n",
        "called\n",
        f"END RequestId: {first.request_id}\n",
    ]
    assert messages[6:9] == [
        f"START RequestId: {second.request_id} Version: $LATEST\n",
        "called\n",
        f"END RequestId: {second.request_id}\n",
    ]
    cold, warm = parse(messages[5]), parse(messages[9])
    assert cold.request_id == first.request_id and cold.init_duration_ms > 10
    assert cold.init_duration_ms + cold.duration_ms <= cold.billed_duration_ms < cold.init_duration_ms + 1 + 5_000
    assert warm.request_id == second.request_id and warm.init_duration_ms is None
    assert warm.max_memory_used_mb > 5 and warm.memory_size_mb == 256
    assert messages[5].endswith(" ms\t\n")


def test_the_stream_name_ends_in_the_environment_id_of_the_answer(emulator: Emulator):
    """So that a client's row can be joined to an environment as well as to a REPORT line."""
    name = emulator.create("ids", "def handler(event, context):\n    return context.log_stream_name\n")
    answer = emulator.invoke(name)
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", answer.body)
    assert answer.body.endswith(answer.headers["x-lab-environment-id"])
    assert answer.headers["x-lab-request-id"] == answer.request_id == answer.headers["x-amzn-requestid"]


def test_the_init_duration_is_that_of_the_handlers_own_import(emulator: Emulator):
    """A module that burns a third of a second of CPU at import shows it, scaled by the speed of the CPU."""
    code = """
        import time
        begin = time.process_time()
        while time.process_time() - begin < 0.3:
            pass
        def handler(event, context):
            return "done"
    """
    name = emulator.create("slow-import", code)
    assert emulator.invoke(name).body == "done"
    (report,) = emulator.reports(name)
    assert report.init_duration_ms > 150
    assert report.duration_ms < report.init_duration_ms


def test_a_handler_that_raises_answers_unhandled_and_keeps_its_environment(emulator: Emulator):
    name = emulator.create("raises", "def handler(event, context):\n    raise ValueError('boom')\n")
    answers = [emulator.invoke(name), emulator.invoke(name)]
    for answer in answers:
        assert (answer.status, answer.function_error) == (200, "Unhandled")
        assert (answer.body["errorType"], answer.body["errorMessage"]) == ("ValueError", "boom")
        assert answer.body["requestId"] == answer.request_id
    assert answers[0].headers["x-lab-environment-id"] == answers[1].headers["x-lab-environment-id"]
    assert [report.status for report in emulator.reports(name)] == [None, None]
    assert any(message.startswith("[ERROR] ValueError: boom\nTraceback") for _, message in emulator.log(name))


CRASHES = {
    "exit-status": ("os._exit(3)", "Runtime exited with error: exit status 3"),
    "exit-zero": ("os._exit(0)", "Runtime exited without providing a reason"),
    "signal": ("os.kill(os.getpid(), 11)", "Runtime exited with error: signal: segmentation fault"),
    "sys-exit": ("sys.exit(7)", "Runtime exited with error: exit status 7"),
}


@pytest.mark.parametrize("case", CRASHES)
def test_a_process_that_ends_is_an_exit_error_and_the_next_invoke_repeats_init_unseen(emulator: Emulator, case: str):
    """After a crash the environment is reset: same stream, no INIT_START, no Init Duration, init inside Duration."""
    statement, reason = CRASHES[case]
    code = f"import os, sys\ndef handler(event, context):\n    if event == 'end': {statement}\n    return 'alive'\n"
    name = emulator.create(f"crash-{case}", code)
    crashed = emulator.invoke(name, "end")
    assert (crashed.status, crashed.function_error) == (200, "Unhandled")
    assert crashed.body == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {crashed.request_id} Error: {reason}",
    }
    after = emulator.invoke(name)
    assert after.body == "alive"
    assert after.headers["x-lab-environment-id"] == crashed.headers["x-lab-environment-id"]
    first, second = emulator.reports(name)
    assert (first.status, first.error_type) == ("error", "Runtime.ExitError")
    assert first.init_duration_ms is not None
    assert second.status is None and second.init_duration_ms is None
    assert second.duration_ms > 5
    assert sum(message.startswith("INIT_START") for _, message in emulator.log(name)) == 1


def test_a_function_that_runs_out_of_time_is_killed_and_reported_with_the_timeout(emulator: Emulator):
    """/tmp survives the reset, memory does not."""
    code = """
        import os, time
        seen = []
        def handler(event, context):
            seen.append(event)
            if event == "hang":
                open("/tmp/mark" if not os.environ.get("TMPDIR") else os.environ["TMPDIR"] + "/mark", "w").close()
                time.sleep(60)
            return [len(seen), os.path.exists(os.environ.get("TMPDIR", "/tmp") + "/mark")]
    """
    name = emulator.create("hangs", code, Timeout=1)
    answer = emulator.invoke(name, "hang")
    assert answer.function_error == "Unhandled"
    assert answer.body["errorMessage"] == f"RequestId: {answer.request_id} Error: Task timed out after 1.00 seconds"
    assert answer.body["errorType"] == "Sandbox.Timedout"
    assert emulator.invoke(name).body == [1, True]
    report = emulator.reports(name)[0]
    assert (report.duration_ms, report.status, report.error_type) == (1000.0, "timeout", None)
    assert report.billed_duration_ms >= 1000 + int(report.init_duration_ms)


def test_the_remaining_time_runs_at_the_pace_of_virtual_time(emulator: Emulator):
    """At 128 MB a second on the CPU is 13.8 seconds of a function; a sleep is what it is at any size."""
    code = """
        import time
        def handler(event, context):
            begun = context.get_remaining_time_in_millis()
            start = time.process_time()
            while time.process_time() - start < 0.2: pass
            computed = context.get_remaining_time_in_millis()
            time.sleep(0.3)
            return [begun, computed, context.get_remaining_time_in_millis()]
    """
    name = emulator.create("remaining-pace", code, Timeout=20, MemorySize=128)
    begun, computed, slept = emulator.invoke(name).body
    assert 19_000 < begun <= 20_000
    assert begun - computed > 0.2 * 1000 * 1769 / 128 * 0.4
    assert 250 <= computed - slept < 1_000


def test_the_remaining_time_counts_down_from_the_function_timeout(emulator: Emulator):
    code = "def handler(event, context):\n    return context.get_remaining_time_in_millis()\n"
    name = emulator.create("remaining", code, Timeout=7)
    assert 6_000 < emulator.invoke(name).body <= 7_000


INIT_FAILURES = {
    "import": ("import no_such_module\n", "Runtime.ImportModuleError", "No module named 'no_such_module'"),
    "syntax": ("def handler(event, context:\n", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
    "missing": ("x = 1\n", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
    "raises": ("raise RuntimeError('no')\n", "RuntimeError", "no"),
}


@pytest.mark.parametrize("case", INIT_FAILURES)
def test_a_failed_init_is_repeated_in_the_invoke_and_reported_twice(emulator: Emulator, case: str):
    """documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html; REPORT has no Init."""
    code, error_type, message = INIT_FAILURES[case]
    name = emulator.create(f"init-{case}", code)
    answer = emulator.invoke(name)
    assert answer.function_error == "Unhandled"
    assert answer.body["errorType"] == error_type and message in answer.body["errorMessage"]
    messages = [message for _, message in emulator.log(name)]
    platform = [line.split()[0] for line in messages if re.match(r"(INIT_START|INIT_REPORT|START|END|REPORT) ", line)]
    assert platform == ["INIT_START", "INIT_REPORT", "INIT_REPORT", "START", "END", "REPORT"]
    phases = [
        re.search(r"Phase: (\w+)\tStatus: (\w+)\tError Type: (\S+)", line) for line in messages if "Phase" in line
    ]
    assert [found.groups() for found in phases] == [("init", "error", error_type), ("invoke", "error", error_type)]
    (report,) = emulator.reports(name)
    assert (report.status, report.error_type, report.init_duration_ms) == ("error", error_type, None)


def test_a_function_that_prints_megabytes_is_not_held_up_and_loses_nothing(emulator: Emulator):
    name = emulator.create("loud", "def handler(event, context):\n    print('x' * 3_000_000)\n    print('end')\n")
    assert emulator.invoke(name).function_error is None
    lines = [message for _, message in emulator.log(name) if message[0] in "xe"]
    assert "".join(lines) == "x" * 3_000_000 + "\nend\n"
    assert max(map(len, lines)) <= 256 * 1024


def test_a_function_that_prints_without_end_does_not_grow_the_emulator(emulator: Emulator):
    """What is beyond the budget of one invocation is dropped and counted; the report comes all the same."""
    code = """
        import os
        def handler(event, context):
            for _ in range(100):
                os.write(1, b"0123456789abcde\\n" * 65_536)
    """
    name = emulator.create("endless", code, Timeout=60, MemorySize=1769)
    before_mb = largest_mb(emulator.status["pid"])
    assert emulator.invoke(name).function_error is None
    assert largest_mb(emulator.status["pid"]) - before_mb < 150
    (stream,) = emulator.client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{name}")["logStreams"]
    last = emulator.client("logs").get_log_events(
        logGroupName=f"/aws/lambda/{name}", logStreamName=stream["logStreamName"], startFromHead=False, limit=3
    )
    dropped, end, report = [event["message"] for event in last["events"]]
    found = re.match(r"serverless-lab: (\d+) log events \((\d+) bytes\) were dropped here", dropped)
    assert found and int(found[1]) * 16 == int(found[2]) > 80 * 2**20
    assert end.startswith("END ") and parse(report) is not None


def largest_mb(pid: int) -> float:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def test_a_child_in_a_session_of_its_own_ends_with_its_environment(emulator: Emulator):
    """It left the process group that is killed, and would go on using the host."""
    code = """
        import subprocess
        def handler(event, context):
            print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid, "sleeps")
            held = b"x" * 400_000_000
    """
    name = emulator.create("own-session", code, Timeout=60)
    assert emulator.invoke(name).body["errorType"] == "Runtime.OutOfMemory"
    assert ended(emulator, name)


def ended(emulator: Emulator, name: str) -> bool:
    """Whether the process whose number the function printed before the word `sleeps` ends."""
    (said,) = [message for _, message in emulator.log(name) if message.endswith(" sleeps\n")]
    try:
        sleeping = os.pidfd_open(int(said.split()[0]))
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([sleeping], [], [], 30)[0])
    finally:
        os.close(sleeping)


def test_a_child_whose_parent_exits_at_once_ends_with_it(emulator: Emulator):
    """It is in a session of its own, and nothing leads to it from a process that is gone."""
    code = """
        import os, subprocess
        def handler(event, context):
            print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid, "sleeps", flush=True)
            os._exit(1)
    """
    name = emulator.create("leaves-a-child", code)
    assert emulator.invoke(name).body["errorType"] == "Runtime.ExitError"
    assert ended(emulator, name)


def test_a_daemon_ends_with_its_environment(emulator: Emulator):
    """Its parent has ended on purpose, so it descends from nobody; it stays as long as its environment does."""
    code = """
        import os
        def handler(event, context):
            global daemon
            if event == "exit":
                os._exit(1)
            if event == "look":
                return os.path.exists(f"/proc/{daemon}")
            read, write = os.pipe()
            if os.fork() == 0:
                os.setsid()
                if (started := os.fork()) == 0:
                    os.execv("/bin/sleep", ["sleep", "600"])
                os.write(write, str(started).encode())
                os._exit(0)
            os.wait()
            daemon = int(os.read(read, 20))
            print(daemon, "sleeps")
    """
    name = emulator.create("daemon", code)
    assert emulator.invoke(name).function_error is None
    other = emulator.create("other-daemon", code)
    assert emulator.invoke(other, "exit").function_error is not None
    assert emulator.invoke(name, "look").body is True
    assert emulator.invoke(name, "exit").function_error is not None
    assert ended(emulator, name)


def test_a_function_has_1024_file_descriptors(emulator: Emulator):
    """documented: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html

    One that forgets to close fails here as it would there, whatever this host allows.
    """
    code = """
        import resource
        held = []
        def handler(event, context):
            try:
                while True:
                    held.append(open("/dev/null"))
            except OSError as problem:
                count = len(held)
                held.clear()
                return [problem.errno, count, resource.getrlimit(resource.RLIMIT_NOFILE)]
    """
    error, count, limits = emulator.invoke(emulator.create("many-files", code)).body
    assert (error, limits) == (errno.EMFILE, [1024, 1024])
    assert 980 < count < 1024


def test_a_host_that_has_no_room_for_an_environment_is_told_and_recovers(emulator: Emulator):
    """Here it has no file descriptors left; the concurrency that the request took is free again afterwards."""
    name = emulator.create("no-room", "def handler(event, context):\n    return 'here'\n")
    emulator.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    pid = emulator.status["pid"]
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    in_use = max(int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use, limits[1]))
    try:
        answers = [emulator.invoke(name), emulator.invoke(name)]
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    for answer in answers:
        assert (answer.function_error, answer.body["errorType"]) == ("Unhandled", "Sandbox.Failure")
        assert "Too many open files" in answer.body["errorMessage"]
    assert emulator.invoke(name).body == "here"


def test_what_json_cannot_hold_is_a_marshal_error(emulator: Emulator):
    name = emulator.create("set", "def handler(event, context):\n    return {1, 2}\n")
    assert emulator.invoke(name).body["errorType"] == "Runtime.MarshalError"


def test_a_response_over_six_megabytes_is_refused(emulator: Emulator):
    name = emulator.create("huge", "def handler(event, context):\n    return 'y' * 7_000_000\n")
    answer = emulator.invoke(name)
    assert answer.function_error == "Unhandled"
    assert answer.body["errorType"] == "Function.ResponseSizeTooLarge"


@pytest.mark.parametrize("event", [None, [], {}, "text", 3, {"ключ": "значение", "emoji": "🎈"}], ids=repr)
def test_any_json_is_an_event_and_comes_back_unchanged(emulator: Emulator, event):
    name = "echo"
    if name not in {item["FunctionName"] for item in emulator.client("lambda").list_functions()["Functions"]}:
        emulator.create(name, "def handler(event, context):\n    return event\n")
    assert emulator.invoke(name, event).body == event


def test_concurrent_invokes_run_in_environments_of_their_own(emulator: Emulator):
    """Two at once need two environments; a third that comes later takes one of them."""
    from concurrent.futures import ThreadPoolExecutor

    code = "import time\ndef handler(event, context):\n    time.sleep(event)\n"
    name = emulator.create("concurrent", code)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: emulator.invoke(name, 1.0), range(2)))
    environments = {answer.headers["x-lab-environment-id"] for answer in answers}
    assert len(environments) == 2
    assert emulator.invoke(name, 0).headers["x-lab-environment-id"] in environments
    assert sum(report.init_duration_ms is not None for report in emulator.reports(name)) == 2


def test_an_update_of_code_or_configuration_makes_the_next_invoke_cold(emulator: Emulator):
    name = emulator.create("updated", "def handler(event, context):\n    return 1\n")
    client = emulator.client("lambda")
    assert emulator.invoke(name).body == 1
    client.update_function_code(FunctionName=name, ZipFile=zip_of({"app.py": "def handler(e, c):\n    return 2\n"}))
    assert emulator.invoke(name).body == 2
    client.update_function_configuration(FunctionName=name, Description="forces a cold start")
    assert emulator.invoke(name).body == 2
    assert emulator.invoke(name).body == 2
    cold = [report.init_duration_ms is not None for report in emulator.reports(name)]
    assert cold == [True, True, True, False]


def test_a_published_version_keeps_its_code_and_its_own_environments(emulator: Emulator):
    name = emulator.create("versions", "def handler(e, context):\n    return context.function_version\n")
    client = emulator.client("lambda")
    version = client.publish_version(FunctionName=name)["Version"]
    client.update_function_code(FunctionName=name, ZipFile=zip_of({"app.py": "def handler(e, c):\n    return 'new'\n"}))
    assert emulator.invoke(name, Qualifier=version).body == version
    assert emulator.invoke(name).body == "new"
    assert {stream.split("]")[0].split("[")[1] for stream, _ in emulator.log(name)} == {version, "$LATEST"}


def test_a_throttled_invoke_is_a_429_with_the_reason_and_no_log_line(emulator: Emulator):
    name = emulator.create("reserved", "def handler(event, context):\n    return 1\n")
    client = emulator.client("lambda")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(client.exceptions.TooManyRequestsException) as caught:
        emulator.invoke(name)
    assert caught.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    client.delete_function_concurrency(FunctionName=name)
    assert emulator.invoke(name).body == 1
    assert len(emulator.reports(name)) == 1


def test_the_end_of_the_log_comes_with_the_answer_when_asked_for(emulator: Emulator):
    name = emulator.create("tail", "def handler(event, context):\n    print('hello')\n")
    answer = emulator.client("lambda").invoke(FunctionName=name, LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode()
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert tail.startswith(
        f"START RequestId: {request_id} Version: $LATEST\nhello\nEND RequestId: {request_id}\nREPORT"
    )


def test_the_log_of_a_cold_invocation_begins_with_what_its_init_wrote(emulator: Emulator):
    name = emulator.create(
        "tail-init", "print('Loading function')\n\ndef handler(event, context):\n    print('hello')\n"
    )
    cold = r"Loading function\nSTART .*\nhello\nEND .*\nREPORT .*\tInit Duration: .*\n"
    assert re.fullmatch(cold, tail_of(emulator, name))
    assert tail_of(emulator, name).startswith("START ")


def test_the_log_of_a_failed_init_has_its_error_and_how_each_attempt_ended(emulator: Emulator):
    """Who invokes a function that cannot be imported reads why without looking for its log stream."""
    name = emulator.create("tail-broken", "import not_there\n")
    error = r"\[ERROR\] Runtime\.ImportModuleError: Unable to import module '\w+': No module named 'not_there'\n"
    report = r"INIT_REPORT Init Duration: .*\tPhase: {}\t.*\n"
    attempt = rf"(\[WARNING\].*\n)?{error}Traceback \(most recent call last\):\n{report}"
    failed = attempt.format("init") + attempt.format("invoke") + r"START .*\nEND .*\nREPORT .*\n"
    assert re.fullmatch(failed, tail_of(emulator, name))


def tail_of(emulator: Emulator, name: str) -> str:
    answer = emulator.client("lambda").invoke(FunctionName=name, LogType="Tail")
    return base64.b64decode(answer["LogResult"]).decode()


def test_a_client_context_reaches_the_handler(emulator: Emulator):
    name = emulator.create("context", "def handler(event, context):\n    return context.client_context.custom\n")
    context = base64.b64encode(b'{"custom": {"app": "lab"}}').decode()
    assert emulator.invoke(name, ClientContext=context).body == {"app": "lab"}
