"""The platform lines of Lambda's text log: one grammar, parsed and rendered.

    INIT_START Runtime Version: python:3.12.v36⇥Runtime Version ARN: arn:…        an environment begins its init
    START RequestId: <id> Version: $LATEST                                        an invocation begins
    END RequestId: <id>                                                           it ended
    REPORT RequestId: <id>⇥Duration: 3.01 ms⇥Billed Duration: 4 ms⇥…              what it took
    INIT_REPORT Init Duration: 10337.01 ms⇥Phase: init⇥Status: timeout            an init that failed, or came early
    RESTORE_REPORT Restore Duration: 511.25 ms                                    a SnapStart restore

`parse_line` reads any of them, `parse` a REPORT line. Reading is by field name at a field's start, in any order, with
tabs, blanks, line ends or nothing between fields, and with anything before the first word: lines get copied through
consoles and tools. It never guesses: a field that is absent or unreadable is None, and a REPORT line without a Duration
is no ReportLine. Rendering is byte for byte what AWS writes.

Sources of the form: the AWS Lambda Developer Guide
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html) and the log events that LocalStack
recorded on AWS (https://github.com/localstack/localstack, tests/aws/services/lambda_/test_lambda.snapshot.json).
Each form has a sample in tests/recorded/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One REPORT line, which ends one invocation. What the line does not say is None, never 0.

    `max_memory_used_mb` is the peak over all invocations of the environment so far, not of this one alone
    (documented: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html).
    `status` is None for success and for an error the handler returned or raised; else `timeout`, `error` or `failure`.
    """

    request_id: str
    duration_ms: float
    billed_duration_ms: int | None = None
    memory_size_mb: int | None = None
    max_memory_used_mb: int | None = None
    init_duration_ms: float | None = None
    restore_duration_ms: float | None = None
    billed_restore_duration_ms: int | None = None
    status: str | None = None
    error_type: str | None = None
    xray_trace_id: str | None = None
    xray_segment_id: str | None = None
    xray_sampled: bool | None = None


@dataclass(frozen=True, slots=True)
class StartLine:
    """START: the environment was handed an invocation. `version` is None only where the line was cut."""

    request_id: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class EndLine:
    request_id: str


@dataclass(frozen=True, slots=True)
class InitStart:
    """INIT_START. `initialization_type` and `phase` are said in the JSON format only."""

    runtime_version: str | None = None
    runtime_version_arn: str | None = None
    initialization_type: str | None = None
    phase: str | None = None


@dataclass(frozen=True, slots=True)
class InitReport:
    """INIT_REPORT. `phase` is `init` or, for an init repeated when a request was served, `invoke`; None when not said.

    `initialization_type` is said in the JSON format only.
    """

    init_duration_ms: float
    phase: str | None = None
    status: str | None = None
    error_type: str | None = None
    initialization_type: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreStart:
    runtime_version: str | None = None
    runtime_version_arn: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    restore_duration_ms: float
    status: str | None = None
    error_type: str | None = None


PlatformLine: TypeAlias = ReportLine | StartLine | EndLine | InitStart | InitReport | RestoreStart | RestoreReport


# --- rendering ---------------------------------------------------------------------------------------------------


def render(report: ReportLine) -> str:
    """The REPORT event as AWS writes it: a blank after REPORT, tabs between fields, two decimals for durations.

    The line ends in tab and newline; one that carries a Status ends in the newline alone. X-Ray ids make a second line
    of the same event.
    """
    fields = [f"RequestId: {report.request_id}", f"Duration: {report.duration_ms:.2f} ms"]
    if report.billed_duration_ms is not None:
        fields.append(f"Billed Duration: {report.billed_duration_ms} ms")
    if report.memory_size_mb is not None:
        fields.append(f"Memory Size: {report.memory_size_mb} MB")
    if report.max_memory_used_mb is not None:
        fields.append(f"Max Memory Used: {report.max_memory_used_mb} MB")
    if report.init_duration_ms is not None:
        fields.append(f"Init Duration: {report.init_duration_ms:.2f} ms")
    if report.restore_duration_ms is not None:
        fields.append(f"Restore Duration: {report.restore_duration_ms:.2f} ms")
    if report.billed_restore_duration_ms is not None:
        fields.append(f"Billed Restore Duration: {report.billed_restore_duration_ms} ms")
    outcome = _outcome(report.status, report.error_type)
    line = "REPORT " + "\t".join(fields + outcome) + ("\n" if outcome else "\t\n")
    if report.xray_trace_id is None:
        return line
    xray = [f"TraceId: {report.xray_trace_id}"]
    if report.xray_segment_id is not None:
        xray.append(f"SegmentId: {report.xray_segment_id}")
    if report.xray_sampled is not None:
        xray.append(f"Sampled: {'true' if report.xray_sampled else 'false'}")
    return line + "XRAY " + "\t".join(xray) + "\t\n"


def render_start(request_id: str, version: str) -> str:
    """`START RequestId: … Version: …`: blanks, no tab."""
    return f"START RequestId: {request_id} Version: {version}\n"


def render_end(request_id: str) -> str:
    return f"END RequestId: {request_id}\n"


def render_init_start(runtime_version: str, runtime_version_arn: str) -> str:
    """`INIT_START Runtime Version: python:3.12.v36⇥Runtime Version ARN: arn:…`."""
    return f"INIT_START Runtime Version: {runtime_version}\tRuntime Version ARN: {runtime_version_arn}\n"


def render_init_report(report: InitReport) -> str:
    """`INIT_REPORT Init Duration: 10337.01 ms⇥Phase: init⇥Status: timeout`; a success has the duration alone."""
    fields = [f"Init Duration: {report.init_duration_ms:.2f} ms"]
    if report.phase is not None:
        fields.append(f"Phase: {report.phase}")
    return "INIT_REPORT " + "\t".join(fields + _outcome(report.status, report.error_type)) + "\n"


def render_restore_start(runtime_version: str, runtime_version_arn: str) -> str:
    return f"RESTORE_START Runtime Version: {runtime_version}\tRuntime Version ARN: {runtime_version_arn}\n"


def render_restore_report(report: RestoreReport) -> str:
    fields = [f"Restore Duration: {report.restore_duration_ms:.2f} ms"]
    return "RESTORE_REPORT " + "\t".join(fields + _outcome(report.status, report.error_type)) + "\n"


def _outcome(status: str | None, error_type: str | None) -> list[str]:
    fields = [] if status is None else [f"Status: {status}"]
    return fields if error_type is None else [*fields, f"Error Type: {error_type}"]


# --- parsing -----------------------------------------------------------------------------------------------------

# The first word and the field that must follow it: an application may print "REPORT" or "START" of its own.
_HEAD = re.compile(
    r"(?<![\w-])(?:"
    r"(?P<request>REPORT|START|END)[ \t]+(?=RequestId:)"
    r"|(?P<init_report>INIT_REPORT)[ \t]+(?=Init Duration:)"
    r"|(?P<restore_report>RESTORE_REPORT)[ \t]+(?=Restore Duration:)"
    r"|(?P<version>INIT_START|RESTORE_START)[ \t]+(?=Runtime Version)"
    r")"
)

# A field is a name, a colon and a value. Numbers carry their unit, and the unit ends the field: copied lines
# have lost their tabs ("124.29 msBilled Duration: 125 ms"). The digits are bounded so that a number is the one printed.
_NUMBER = re.compile(
    r"(?P<name>[A-Z][A-Za-z]*(?: [A-Z][A-Za-z]*)*):[ \t]*"
    r"(?P<value>[0-9]{1,12}(?:\.[0-9]{1,6})?)[ \t]*(?P<unit>ms|MB)(?![a-z])"
)
_UUID = r"[0-9A-Za-z]{8}(?:-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}"
_REQUEST_ID = re.compile(rf"RequestId:[ \t]*(?P<value>{_UUID}(?=(?:Init |Billed )?Duration:|Version:)|[^\s]+)")
_VERSION = re.compile(r"Version:[ \t]*(?P<value>[^\s]+)")
_WORDS = {
    # A word ends at white space or where the next known field starts without one.
    "Status": re.compile(r"Status:[ \t]*(?P<value>[^\s]+?)(?=Error Type:|XRAY TraceId:|\s|\Z)"),
    "Error Type": re.compile(r"Error Type:[ \t]*(?P<value>[^\s]+?)(?=XRAY TraceId:|\s|\Z)"),
    "Phase": re.compile(r"Phase:[ \t]*(?P<value>[^\s]+?)(?=Status:|\s|\Z)"),
    "TraceId": re.compile(r"(?:XRAY[ \t]+)TraceId:[ \t]*(?P<value>[^\s]+?)(?=SegmentId:|\s|\Z)"),
    "SegmentId": re.compile(r"SegmentId:[ \t]*(?P<value>[^\s]+?)(?=Sampled:|\s|\Z)"),
    "Sampled": re.compile(r"Sampled:[ \t]*(?P<value>true|false)(?![A-Za-z])"),
    "Runtime Version": re.compile(r"Runtime Version:[ \t]*(?P<value>[^\s]+?)(?=Runtime Version ARN:|\s|\Z)"),
    "Runtime Version ARN": re.compile(r"Runtime Version ARN:[ \t]*(?P<value>[^\s]+)"),
}
_UNITS = {
    "Duration": "ms",
    "Billed Duration": "ms",
    "Init Duration": "ms",
    "Restore Duration": "ms",
    "Billed Restore Duration": "ms",
    "Memory Size": "MB",
    "Max Memory Used": "MB",
}
_BLANKS = re.compile(r"\s*")
# Any other field is stepped over, to where the next one surely starts.
_OTHER_FIELD = re.compile(r"[A-Z][A-Za-z]*(?: [A-Za-z]+)*:[^\t\r\n]*")


def parse(text: str) -> ReportLine | None:
    """The first REPORT line in `text`, or None when there is none that can be read.

    Args:
        text: one log event, or a line of a file. Text before REPORT is ignored, a second line with X-Ray ids is read.
    """
    head = next((found for found in _HEAD.finditer(text) if found["request"] == "REPORT"), None)
    return None if head is None else _report(text, head.end())


def parse_start(text: str) -> StartLine | None:
    line = parse_line(text)
    return line if isinstance(line, StartLine) else None


def parse_end(text: str) -> EndLine | None:
    line = parse_line(text)
    return line if isinstance(line, EndLine) else None


def parse_init_start(text: str) -> InitStart | None:
    line = parse_line(text)
    return line if isinstance(line, InitStart) else None


def parse_init_report(text: str) -> InitReport | None:
    line = parse_line(text)
    return line if isinstance(line, InitReport) else None


def parse_line(text: str) -> PlatformLine | None:
    """The first platform line in `text`, or None: not one, or not readable (`is_platform_line` tells which)."""
    head = _HEAD.search(text)
    if head is None:
        return None
    at = head.end()
    match head["request"] or head["init_report"] or head["restore_report"] or head["version"]:
        case "REPORT":
            return _report(text, at)
        case "START":
            return _start(text, at)
        case "END":
            request_id = _REQUEST_ID.match(text, at)
            return None if request_id is None else EndLine(request_id["value"])
        case "INIT_REPORT":
            numbers, words = _fields(text, at)
            duration = numbers.get("Init Duration")
            if duration is None:
                return None
            return InitReport(float(duration), words.get("Phase"), words.get("Status"), words.get("Error Type"))
        case "RESTORE_REPORT":
            numbers, words = _fields(text, at)
            duration = numbers.get("Restore Duration")
            return (
                None
                if duration is None
                else RestoreReport(float(duration), words.get("Status"), words.get("Error Type"))
            )
        case "INIT_START":
            _, words = _fields(text, at)
            return InitStart(words.get("Runtime Version"), words.get("Runtime Version ARN"))
        case _:
            _, words = _fields(text, at)
            return RestoreStart(words.get("Runtime Version"), words.get("Runtime Version ARN"))


def is_platform_line(text: str) -> bool:
    """Whether `text` begins as a platform line does. Those that `parse_line` cannot read must be counted."""
    return _HEAD.match(text) is not None


def find_platform_line(text: str) -> int | None:
    """Where in `text` the first platform line begins; None when there is none."""
    head = _HEAD.search(text)
    return None if head is None else head.start()


def has_init_duration_first(text: str) -> bool:
    """Whether Init Duration stands before Duration: AWS's runtime interface emulator does that, AWS itself never.

    That emulator's value is not the init: it times the start of a goroutine, and the init is inside Duration
    (https://github.com/aws/aws-lambda-runtime-interface-emulator, internal/lambda/rie/handlers.go).
    """
    return _INIT_FIRST.search(text) is not None


_INIT_FIRST = re.compile(r"(?<![\w-])REPORT[ \t]+RequestId:[ \t]*[^\s]+?\s*Init Duration:")


def _report(text: str, at: int) -> ReportLine | None:
    request_id = _REQUEST_ID.match(text, at)
    if request_id is None:
        return None
    numbers, words = _fields(text, request_id.end())
    duration = numbers.get("Duration")
    if duration is None:
        return None
    sampled = words.get("Sampled")
    return ReportLine(
        request_id=request_id["value"],
        duration_ms=float(duration),
        billed_duration_ms=_whole(numbers.get("Billed Duration")),
        memory_size_mb=_whole(numbers.get("Memory Size")),
        max_memory_used_mb=_whole(numbers.get("Max Memory Used")),
        init_duration_ms=_number(numbers.get("Init Duration")),
        restore_duration_ms=_number(numbers.get("Restore Duration")),
        billed_restore_duration_ms=_whole(numbers.get("Billed Restore Duration")),
        status=words.get("Status"),
        error_type=words.get("Error Type"),
        xray_trace_id=words.get("TraceId"),
        xray_segment_id=words.get("SegmentId"),
        xray_sampled=None if sampled is None else sampled == "true",
    )


def _start(text: str, at: int) -> StartLine | None:
    request_id = _REQUEST_ID.match(text, at)
    if request_id is None:
        return None
    version = _VERSION.match(text, _after_blanks(text, request_id.end()))
    return StartLine(request_id["value"], None if version is None else version["value"])


def _fields(text: str, at: int) -> tuple[dict[str, str], dict[str, str]]:
    """The fields from `at` on, as printed: numbers with the right unit, and words. The first of a name counts."""
    numbers: dict[str, str] = {}
    words: dict[str, str] = {}
    while True:
        at = _after_blanks(text, at)
        if at == len(text) or _HEAD.match(text, at):
            return numbers, words
        number = _NUMBER.match(text, at)
        if number is not None:
            name = number["name"]
            if _UNITS.get(name) == number["unit"]:
                numbers.setdefault(name, number["value"])
            at = number.end()
            continue
        for name, pattern in _WORDS.items():
            word = pattern.match(text, at)
            if word is not None:
                words.setdefault(name, word["value"])
                at = word.end()
                break
        else:
            other = _OTHER_FIELD.match(text, at)
            if other is None:
                return numbers, words
            at = other.end()


def _after_blanks(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return at if blanks is None else blanks.end()


def _number(printed: str | None) -> float | None:
    return None if printed is None else float(printed)


def _whole(printed: str | None) -> int | None:
    """Whole numbers are printed without decimals; one with a fraction is not the field we know."""
    return int(printed) if printed is not None and "." not in printed else None
