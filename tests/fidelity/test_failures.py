"""Invocations that do not come to their end."""

from __future__ import annotations

import math
import re

import pytest

from tests.emulator.conftest import Emulator, Invoked
from tests.fidelity.table import Area, Grade, aws

pytestmark = pytest.mark.process

LIFECYCLE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"
RECORDED = "https://github.com/localstack/localstack/blob/master/tests/aws/services/lambda_/test_lambda.snapshot.json"
OUT_OF_MEMORY = "https://github.com/adobe/helix-html2md-service/issues/1001"
PYTHON = "https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html"

CODE = """
    import ctypes, os, subprocess, sys, time
    tmp = os.environ.get("TMPDIR", "/tmp")
    invocations = 0
    EAT = "import time; held = [b'x' * 30_000_000 for _ in range(20)]; time.sleep(20)"

    def handler(event, context):
        global invocations
        invocations += 1
        if event == "hang":
            print("last words")
            open(tmp + "/mark", "w").close()
            time.sleep(60)
        if event == "exit": os._exit(127)
        if event == "leave": os._exit(0)
        if event == "kill":
            print("still said")
            os.kill(os.getpid(), 9)
        if event == "crash": os.kill(os.getpid(), 11)
        if event == "eat":
            held = [b"x" * 30_000_000 for _ in range(20)]
        if event == "gulp":
            b"x" * 200_000_000
        if event == "child":
            subprocess.run([sys.executable, "-c", EAT])
        if event == "raise": raise ValueError("boom")
        if event == "set": return {1, 2}
        return [invocations, os.path.exists(tmp + "/mark")]
"""


class Failing:
    """A function that fails in the way its event says."""

    def __init__(self, emulator: Emulator, name: str, **options: int) -> None:
        self.emulator = emulator
        self.name = emulator.create(name, CODE, **options)

    def warm(self) -> Failing:
        """With its first invocation behind it: what follows has no Init Duration."""
        self.emulator.invoke(self.name, "nothing")
        return self

    def fail(self, how: str) -> tuple[Invoked, list[str]]:
        """Its answer and the log of this invocation, START first."""
        answer = self.emulator.invoke(self.name, how)
        messages = [message for _, message in self.emulator.log(self.name)]
        start = messages.index(f"START RequestId: {answer.request_id} Version: $LATEST\n")
        return answer, messages[start:]


def failed_with(answer: Invoked, error_type: str, message: str) -> bool:
    return (answer.status, answer.function_error, answer.body) == (
        200,
        "Unhandled",
        {"errorType": error_type, "errorMessage": f"RequestId: {answer.request_id} Error: {message}"},
    )


@pytest.fixture(scope="module")
def failing(emulator: Emulator) -> Failing:
    return Failing(emulator, "fails", Timeout=5, MemorySize=1769).warm()


@pytest.fixture(scope="module")
def hungry(emulator: Emulator) -> Failing:
    return Failing(emulator, "hungry", Timeout=60, MemorySize=128).warm()


@pytest.fixture(scope="module")
def timed_out(emulator: Emulator) -> tuple[Invoked, list[str], Invoked]:
    """A first invocation that hangs: its answer and its log; and the answer of the one after it."""
    function = Failing(emulator, "hangs-once", Timeout=1, MemorySize=1769)
    answer, lines = function.fail("hang")
    return answer, lines, function.fail("nothing")[0]


@aws(
    Area.FAILURES,
    "A timeout is a 200 with FunctionError Unhandled and a payload that names Sandbox.Timedout and the timeout.",
    source=RECORDED,
    grade=Grade.RECORDED,
)
def test_what_the_caller_of_a_timeout_gets(timed_out: tuple[Invoked, list[str], Invoked]):
    assert failed_with(timed_out[0], "Sandbox.Timedout", "Task timed out after 1.00 seconds")


@aws(
    Area.FAILURES,
    "The REPORT of a timeout ends in `Status: timeout`, without a tab, its Duration is the timeout; no other line "
    "says so, and what the function printed before is kept.",
    source=LIFECYCLE,
)
def test_the_log_of_a_timeout(timed_out: tuple[Invoked, list[str], Invoked]):
    answer, lines, _ = timed_out
    assert lines[1:3] == ["last words\n", f"END RequestId: {answer.request_id}\n"]
    found = re.fullmatch(
        rf"REPORT RequestId: {answer.request_id}\tDuration: 1000\.00 ms\tBilled Duration: (\d+) ms\t"
        r"Memory Size: 1769 MB\tMax Memory Used: \d+ MB\tInit Duration: (\d+\.\d\d) ms\tStatus: timeout\n",
        lines[3],
    )
    assert found and int(found[1]) == math.ceil(1000 + float(found[2]))
    assert len(lines) == 4


@aws(
    Area.FAILURES,
    "After a timeout the environment is reset: what is in /tmp stays, what is in memory does not.",
    source=f"{LIFECYCLE} {RECORDED}",
)
def test_tmp_survives_a_reset_and_memory_does_not(timed_out: tuple[Invoked, list[str], Invoked]):
    assert timed_out[2].body == [1, True]


@aws(
    Area.FAILURES,
    "A runtime that exits is a Runtime.ExitError that names the exit status, in the payload and in REPORT.",
    source=f"{RECORDED} {LIFECYCLE}",
    grade=Grade.RECORDED,
)
def test_an_exit(failing: Failing):
    answer, lines = failing.fail("exit")
    assert failed_with(answer, "Runtime.ExitError", "Runtime exited with error: exit status 127")
    assert lines[-1].endswith(" MB\tStatus: error\tError Type: Runtime.ExitError\n")


@aws(
    Area.FAILURES,
    "A runtime that exits with status 0 has exited without providing a reason.",
    source=LIFECYCLE,
)
def test_an_exit_with_status_zero(failing: Failing):
    answer, _ = failing.fail("leave")
    assert failed_with(answer, "Runtime.ExitError", "Runtime exited without providing a reason")


@aws(
    Area.FAILURES,
    "A runtime that a signal ends is a Runtime.ExitError that names the signal; what it printed is in the log.",
    source=RECORDED,
    grade=Grade.RECORDED,
)
@pytest.mark.parametrize(("how", "signal"), [("kill", "killed"), ("crash", "segmentation fault")])
def test_a_signal(failing: Failing, how: str, signal: str):
    answer, lines = failing.fail(how)
    assert failed_with(answer, "Runtime.ExitError", f"Runtime exited with error: signal: {signal}")
    assert ("still said\n" in lines) == (how == "kill")


@aws(
    Area.FAILURES,
    "A function that needs more memory than it has is killed: Runtime.OutOfMemory, and Max Memory Used is Memory Size.",
    source=OUT_OF_MEMORY,
    grade=Grade.RECORDED,
)
@pytest.mark.parametrize("how", ["eat", "gulp"])
def test_out_of_memory(hungry: Failing, how: str):
    """Whether it holds on to what it takes or lets it go again at once."""
    answer, lines = hungry.fail(how)
    assert failed_with(answer, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed")
    assert lines[-1].endswith(
        "\tMemory Size: 128 MB\tMax Memory Used: 128 MB\tStatus: error\tError Type: Runtime.OutOfMemory\n"
    )


@aws(
    Area.FAILURES,
    "The memory of a function's child processes counts, too.",
    source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html",
    grade=Grade.ASSUMED,
    differs="the whole environment is ended, where a kernel that is out of memory might end the child alone",
)
def test_out_of_memory_in_a_child_process(hungry: Failing):
    answer, lines = hungry.fail("child")
    assert failed_with(answer, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed")
    assert lines[-1].endswith("\tMax Memory Used: 128 MB\tStatus: error\tError Type: Runtime.OutOfMemory\n")


@aws(
    Area.FAILURES,
    "An exception of the handler is told with type, message, request id and stack trace; it leaves a REPORT without a "
    "Status, and the environment as it was.",
    source=PYTHON,
)
def test_an_exception(failing: Failing):
    failing.fail("nothing")
    answer, lines = failing.fail("raise")
    assert (answer.status, answer.function_error) == (200, "Unhandled")
    assert {key: answer.body[key] for key in ("errorType", "errorMessage", "requestId")} == {
        "errorType": "ValueError",
        "errorMessage": "boom",
        "requestId": answer.request_id,
    }
    assert lines[1].startswith("[ERROR] ValueError: boom\nTraceback (most recent call last):\n")
    assert lines[-1].endswith(" MB\t\n")
    assert failing.fail("nothing")[0].body[0] > 1


@aws(
    Area.FAILURES,
    "A result that JSON cannot hold is a Runtime.MarshalError.",
    source="https://github.com/aws/aws-lambda-python-runtime-interface-client",
)
def test_a_result_that_is_no_json(failing: Failing):
    answer, _ = failing.fail("set")
    assert answer.function_error == "Unhandled"
    assert answer.body["errorType"] == "Runtime.MarshalError"
    assert answer.body["errorMessage"] == ("Unable to marshal response: Object of type set is not JSON serializable")
