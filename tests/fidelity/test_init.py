"""Inits that fail, take too long, or are done again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from serverless_lab.report_line import ReportLine
from tests.emulator.conftest import Emulator, Invoked
from tests.fidelity.table import Area, Grade, aws

pytestmark = pytest.mark.process

LIFECYCLE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"
REPEATED_TIMEOUT = "https://github.com/DataDog/datadog-lambda-extension/issues/1237"
CLIENT = "https://github.com/aws/aws-lambda-python-runtime-interface-client"
BILLING = "https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/"


@dataclass(frozen=True)
class Run:
    """What became of some invocations of a function."""

    answers: list[Invoked]
    messages: list[str]
    reports: list[ReportLine]

    def words(self) -> list[str]:
        """The first word of each platform line, in the order of the log."""
        found = [re.match(r"(INIT_START|INIT_REPORT|START|END|REPORT) ", line) for line in self.messages]
        return [match[1] for match in found if match]

    def init_reports(self) -> list[str]:
        """Without the duration."""
        lines = [line for line in self.messages if line.startswith("INIT_REPORT ")]
        return [re.sub(r"Init Duration: \d+\.\d\d ms", "Init Duration: - ms", line) for line in lines]


def run(emulator: Emulator, name: str, code: str, *events: Any, **options: Any) -> Run:
    emulator.create(name, code, **options)
    answers = [emulator.invoke(name, event) for event in events]
    return Run(answers, [message for _, message in emulator.log(name)], emulator.reports(name))


@pytest.fixture(scope="module")
def slow_init(emulator: Emulator) -> Run:
    """The first init takes longer than 10 s, the second longer than the function's timeout; the third is quick.

    It costs 11 s of real time, once for all the tests here.
    """
    code = """
        import os, time
        tmp = os.environ.get("TMPDIR", "/tmp")
        inits = len(os.listdir(tmp))
        open(f"{tmp}/init-{inits}", "w").close()
        if inits < 2:
            time.sleep(60)
        def handler(event, context):
            return "ready at last"
    """
    return run(emulator, "init-slow", code, None, None, Timeout=1)


@aws(
    Area.INIT, "The Init phase is limited to 10 s; the log has an INIT_REPORT with `Status: timeout`.", source=LIFECYCLE
)
def test_init_is_ended_after_ten_seconds(slow_init: Run):
    line = next(line for line in slow_init.messages if line.startswith("INIT_REPORT "))
    found = re.fullmatch(r"INIT_REPORT Init Duration: (\d+\.\d\d) ms\tPhase: init\tStatus: timeout\n", line)
    assert found and 10_000 <= float(found[1]) < 10_500


@aws(
    Area.INIT,
    "A timed-out init is repeated by the first invocation, under the function's timeout and inside its Duration; when "
    "that runs out too, a second INIT_REPORT says so, and the REPORT has no Init Duration.",
    source=f"{LIFECYCLE} {REPEATED_TIMEOUT}",
    grade=Grade.RECORDED,
)
def test_a_repeated_init_has_the_functions_timeout(slow_init: Run):
    assert slow_init.words()[:6] == ["INIT_START", "INIT_REPORT", "INIT_REPORT", "START", "END", "REPORT"]
    assert slow_init.init_reports()[1] == "INIT_REPORT Init Duration: - ms\tPhase: invoke\tStatus: timeout\n"
    first = slow_init.reports[0]
    assert (first.duration_ms, first.init_duration_ms, first.status) == (1000.0, None, "timeout")
    request_id = slow_init.answers[0].request_id
    assert slow_init.answers[0].body == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request_id} Error: Task timed out after 1.00 seconds",
    }


@aws(
    Area.INIT,
    "The invocation after a timeout initialises once more without a word in the log (a suppressed init), its init "
    "inside Duration.",
    source=LIFECYCLE,
)
def test_the_init_after_a_timeout_is_suppressed(slow_init: Run):
    assert slow_init.answers[1].body == "ready at last"
    assert slow_init.words()[6:] == ["START", "END", "REPORT"]
    assert slow_init.reports[1].init_duration_ms is None
    assert slow_init.reports[1].duration_ms > 5


def failed_init(emulator: Emulator, name: str, code: str) -> tuple[Invoked, Run]:
    found = run(emulator, name, code, None)
    assert found.words() == ["INIT_START", "INIT_REPORT", "INIT_REPORT", "START", "END", "REPORT"]
    assert found.answers[0].function_error == "Unhandled"
    assert found.reports[0].init_duration_ms is None
    return found.answers[0], found


@aws(
    Area.INIT,
    "A module that cannot be imported is a Runtime.ImportModuleError, reported for the phase init and again for the "
    "phase invoke.",
    source=f"{LIFECYCLE} {CLIENT}",
)
def test_an_import_error(emulator: Emulator):
    answer, found = failed_init(emulator, "init-import", "import no_such_module\n")
    assert answer.body["errorType"] == "Runtime.ImportModuleError"
    assert answer.body["errorMessage"] == "Unable to import module 'app': No module named 'no_such_module'"
    assert found.init_reports() == [
        "INIT_REPORT Init Duration: - ms\tPhase: init\tStatus: error\tError Type: Runtime.ImportModuleError\n",
        "INIT_REPORT Init Duration: - ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ImportModuleError\n",
    ]
    assert found.messages[-1].endswith("\tStatus: error\tError Type: Runtime.ImportModuleError\n")


@aws(Area.INIT, "A syntax error is a Runtime.UserCodeSyntaxError.", source=CLIENT)
def test_a_syntax_error(emulator: Emulator):
    answer, found = failed_init(emulator, "init-syntax", "def handler(event, context:\n    return 1\n")
    assert answer.body["errorType"] == "Runtime.UserCodeSyntaxError"
    assert answer.body["errorMessage"].startswith("Syntax error in module 'app': ")
    assert found.reports[0].error_type == "Runtime.UserCodeSyntaxError"


@aws(Area.INIT, "A handler that its module does not have is a Runtime.HandlerNotFound.", source=CLIENT)
def test_a_missing_handler(emulator: Emulator):
    answer, found = failed_init(emulator, "init-missing", "def handle(event, context):\n    return 1\n")
    assert answer.body["errorType"] == "Runtime.HandlerNotFound"
    assert answer.body["errorMessage"] == "Handler 'handler' missing on module 'app'"
    assert found.reports[0].error_type == "Runtime.HandlerNotFound"


@aws(
    Area.INIT,
    "A process that ends in its init is a Runtime.ExitError, of the phase init and of the phase invoke.",
    source=LIFECYCLE,
)
def test_an_exit_in_init(emulator: Emulator):
    answer, found = failed_init(emulator, "init-exit", "import os\nos._exit(3)\n")
    assert answer.body == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {answer.request_id} Error: Runtime exited with error: exit status 3",
    }
    assert found.init_reports() == [
        "INIT_REPORT Init Duration: - ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError\n",
        "INIT_REPORT Init Duration: - ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError\n",
    ]


@aws(
    Area.INIT,
    "An init that needs more memory than the function has is a Runtime.OutOfMemory, of the phase init and of the phase "
    "invoke.",
    source=LIFECYCLE,
    grade=Grade.ASSUMED,
)
def test_an_init_that_runs_out_of_memory(emulator: Emulator):
    code = "held = b'x' * 400_000_000\ndef handler(event, context):\n    return 1\n"
    found = run(emulator, "init-memory", code, None, Timeout=60)
    assert found.words() == ["INIT_START", "INIT_REPORT", "INIT_REPORT", "START", "END", "REPORT"]
    assert found.answers[0].body["errorType"] == "Runtime.OutOfMemory"
    assert found.init_reports() == [
        "INIT_REPORT Init Duration: - ms\tPhase: init\tStatus: error\tError Type: Runtime.OutOfMemory\n",
        "INIT_REPORT Init Duration: - ms\tPhase: invoke\tStatus: error\tError Type: Runtime.OutOfMemory\n",
    ]
    assert (found.reports[0].max_memory_used_mb, found.reports[0].memory_size_mb) == (256, 256)


@aws(
    Area.INIT,
    "After a crash the environment is initialised again in the next invocation: no INIT_START, no INIT_REPORT, no Init "
    "Duration, and REPORT follows START in less than its Duration.",
    source=LIFECYCLE,
)
def test_a_crash_is_followed_by_a_suppressed_init(emulator: Emulator):
    code = """
        import os, time
        begin = time.process_time()
        while time.process_time() - begin < 0.1: pass
        def handler(event, context):
            if event == "end": os._exit(1)
    """
    found = run(emulator, "init-suppressed", code, "end", None)
    assert found.words() == ["INIT_START", "START", "END", "REPORT", "START", "END", "REPORT"]
    assert found.reports[0].init_duration_ms > 50 and found.reports[1].init_duration_ms is None
    logs = emulator.client("logs").filter_log_events(logGroupName="/aws/lambda/init-suppressed")["events"]
    start, report = (item["timestamp"] for item in (logs[-3], logs[-1]))
    assert report - start < found.reports[1].duration_ms - 50


@aws(
    Area.INIT,
    "An on-demand init that succeeds has no INIT_REPORT; the first REPORT alone has its Init Duration, which is "
    "billed: Billed Duration is the sum, rounded up once.",
    source=f"{LIFECYCLE} {BILLING}",
)
def test_an_init_that_succeeds(emulator: Emulator):
    found = run(emulator, "init-fine", "def handler(event, context):\n    return 1\n", None, None)
    assert found.words() == ["INIT_START", "START", "END", "REPORT", "START", "END", "REPORT"]
    cold, warm = found.reports
    assert -(-(cold.duration_ms + cold.init_duration_ms) // 1) == cold.billed_duration_ms
    assert warm.init_duration_ms is None and -(-warm.duration_ms // 1) == warm.billed_duration_ms
