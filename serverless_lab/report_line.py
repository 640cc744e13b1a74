"""The platform lines of Lambda's text log: one grammar, parsed and rendered.

    INIT_START Runtime Version: python:3.12.v36⇥Runtime Version ARN: arn:…        an environment begins its init
    START RequestId: <id> Version: $LATEST                                        an invocation begins
    END RequestId: <id>                                                           it ended
    REPORT RequestId: <id>⇥Duration: 3.01 ms⇥Billed Duration: 4 ms⇥…              what it took
    INIT_REPORT Init Duration: 10337.01 ms⇥Phase: init⇥Status: timeout            an init that failed, or came early
    RESTORE_REPORT Restore Duration: 511.25 ms                                    a SnapStart restore
    RequestId: <id> Error: Runtime exited with error: signal: killed              a crash, as told until 2024
    <time> <id> Task timed out after 3.00 seconds                                 a timeout, as told until 2024
    EXTENSION⇥Name: …, TELEMETRY⇥Name: …, LOGS⇥Name: …                            an extension registered, subscribed

`parse_line` reads any of them, `parse` a REPORT line. Reading is by field name at a field's start, in any order, with
tabs, blanks, line ends or nothing between fields, and with anything before the first word: lines get copied through
consoles and tools. It never guesses: a field that is absent or unreadable is None, and a REPORT line without a Duration
is no ReportLine. Rendering is byte for byte what AWS writes. `whole_part` makes a line safe to read that may
have been cut.

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
    """START: the environment was handed an invocation. `version` is None only where the line was cut.

    `function_arn` is said in the JSON format only, since 2026.
    """

    request_id: str
    version: str | None = None
    function_arn: str | None = None


@dataclass(frozen=True, slots=True)
class EndLine:
    request_id: str


@dataclass(frozen=True, slots=True)
class InitStart:
    """INIT_START. Only the JSON format says more than the runtime.

    `instance_id` is the end of the log stream's name. The memory of the instance is in bytes, though AWS's page shows
    megabytes (measured: 268435456 for a function of 256 MB).
    """

    runtime_version: str | None = None
    runtime_version_arn: str | None = None
    initialization_type: str | None = None
    phase: str | None = None
    function_name: str | None = None
    function_version: str | None = None
    instance_id: str | None = None
    instance_max_memory: int | None = None


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
    """RESTORE_START. Only the JSON format says more than the runtime."""

    runtime_version: str | None = None
    runtime_version_arn: str | None = None
    function_name: str | None = None
    function_version: str | None = None
    instance_id: str | None = None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    restore_duration_ms: float
    status: str | None = None
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class FaultLine:
    """A failed invocation in the style used until 2024, when REPORT said nothing of it. It stands around REPORT.

    `reason` is what the line says: `Task timed out after 3.00 seconds`, `Runtime exited with error: signal: killed`,
    `Process exited before completing request`. `written_at` is the time in the line itself; only timeouts have one.
    """

    request_id: str
    reason: str
    error_type: str | None = None
    written_at: str | None = None

    @property
    def status(self) -> str:
        """What a REPORT line says today: `timeout` or `error`."""
        return "timeout" if self.reason.startswith(_TIMED_OUT) else "error"


@dataclass(frozen=True, slots=True)
class ExtensionLine:
    """EXTENSION: an extension has registered, for `events`."""

    name: str
    state: str | None = None
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubscriptionLine:
    """TELEMETRY (or LOGS, of the older Logs API): an extension has subscribed to events of `types`."""

    name: str
    state: str | None = None
    types: tuple[str, ...] = ()
    is_logs_api: bool = False


PlatformLine: TypeAlias = (
    ReportLine
    | StartLine
    | EndLine
    | InitStart
    | InitReport
    | RestoreStart
    | RestoreReport
    | FaultLine
    | ExtensionLine
    | SubscriptionLine
)

_TIMED_OUT = "Task timed out after "
_PROCESS_EXITED = "Process exited before completing request"


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


def render_fault(fault: FaultLine) -> str:
    """The event of a timeout (which ends in an empty line) or of a crash, as AWS wrote it until 2024."""
    if fault.status == "timeout" and fault.written_at is not None:
        return f"{fault.written_at} {fault.request_id} {fault.reason}\n\n"
    if fault.reason == _PROCESS_EXITED:
        return f"RequestId: {fault.request_id} {fault.reason}\n\n"
    line = f"RequestId: {fault.request_id} Error: {fault.reason}\n"
    return line if fault.error_type is None else f"{line}{fault.error_type}\n"


def render_extension(line: ExtensionLine) -> str:
    """`EXTENSION⇥Name: lambda-adapter⇥State: Ready⇥Events: [INVOKE, SHUTDOWN]`."""
    return f"EXTENSION\tName: {line.name}\tState: {line.state}\tEvents: [{', '.join(line.events)}]\n"


def render_subscription(line: SubscriptionLine) -> str:
    """`TELEMETRY⇥Name: datadog-agent⇥State: Subscribed⇥Types: [Platform, Function]`."""
    head = "LOGS" if line.is_logs_api else "TELEMETRY"
    return f"{head}\tName: {line.name}\tState: {line.state}\tTypes: [{', '.join(line.types)}]\n"


def _outcome(status: str | None, error_type: str | None) -> list[str]:
    fields = [] if status is None else [f"Status: {status}"]
    return fields if error_type is None else [*fields, f"Error Type: {error_type}"]


# --- parsing -----------------------------------------------------------------------------------------------------

_UUID = r"[0-9A-Za-z]{8}(?:-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}"
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z"

# The first word and the field that must follow it: an application may print "REPORT" or "START" of its own.
_HEAD = re.compile(
    r"(?<![\w-])(?:"
    r"(?P<request>REPORT|START|END)[ \t]+(?=RequestId:)"
    # The second form of each is that of the OpenTelemetry collector for Lambda.
    r"|(?P<init_report>INIT_REPORT)[ \t]+(?=Init Duration:|Initialization Type:)"
    r"|(?P<restore_report>RESTORE_REPORT)[ \t]+(?=Restore Duration:|Status:[ \t]*[a-z]+[ \t]+Duration:)"
    r"|(?P<version>INIT_START|RESTORE_START)[ \t]+(?=Runtime Version)"
    r"|(?P<extension>EXTENSION|TELEMETRY|LOGS)[ \t]+(?=Name:)"
    rf"|(?P<fault>RequestId:)[ \t]*(?={_UUID}[ \t]+(?:Error:|{_PROCESS_EXITED}))"
    r")"
)
# The old style's timeout begins with a time of its own, so it has no head.
_TIMEOUT = re.compile(
    rf"(?:(?P<written_at>{_TIME})[ \t]+)?(?<![\w-])(?P<request_id>{_UUID})[ \t]+"
    rf"(?P<reason>{_TIMED_OUT}[0-9]{{1,12}}(?:\.[0-9]{{1,6}})? seconds)"
)
_FAULT = re.compile(
    rf"(?P<request_id>{_UUID})[ \t]+(?:Error:[ \t]*(?P<reason>[^\r\n]*?)|(?P<exited>{_PROCESS_EXITED}))"
    r"(?:\s+(?P<error_type>(?:Runtime|Extension|Sandbox|Function)\.[A-Za-z]+))?[ \t]*(?=[\r\n]|\Z)"
)
_EXTENSION = re.compile(
    r"Name:[ \t]*(?P<name>[^\t\r\n]*?)\s*(?:State:[ \t]*(?P<state>\w+)\s*)?"
    r"(?:(?:Events|Types):[ \t]*\[(?P<list>[^\]\r\n]*)\]\s*)?(?=[\r\n]|\Z)"
)

# A field is a name, a colon and a value. Numbers carry their unit, and the unit ends the field: copied lines
# have lost their tabs ("124.29 msBilled Duration: 125 ms"). The digits are bounded so that a number is the one printed.
_NUMBER = re.compile(
    r"(?P<name>[A-Z][A-Za-z]{0,20}(?: [A-Z][A-Za-z]{0,20}){0,4}):[ \t]*"
    r"(?P<value>[0-9]{1,12}(?:\.[0-9]{1,6})?)[ \t]*(?P<unit>ms|MB)(?![a-z])"
)
_REQUEST_ID = re.compile(rf"RequestId:[ \t]*(?P<value>{_UUID}(?=(?:Init |Billed )?Duration:|Version:)|[^\s]+)")
_VERSION = re.compile(r"Version:[ \t]*(?P<value>[^\s]+)")
_WORDS = {
    # A word ends at white space or where the next known field starts without one.
    "Status": re.compile(r"Status:[ \t]*(?P<value>[^\s]+?)(?=Error Type:|XRAY TraceId:|\s|\Z)"),
    "Initialization Type": re.compile(r"Initialization Type:[ \t]*(?P<value>[^\s]+?)(?=Phase:|Status:|\s|\Z)"),
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
_OTHER_FIELD = re.compile(r"[A-Z][A-Za-z]{0,20}(?: [A-Za-z]{1,20}){0,6}:[^\t\r\n]*")


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
    timeout = _TIMEOUT.search(text) if _TIMED_OUT in text else None
    if timeout is not None and (head is None or timeout.start() < head.start()):
        return FaultLine(timeout["request_id"], timeout["reason"], None, timeout["written_at"])
    if head is None:
        return None
    at = head.end()
    match head[head.lastgroup or 0]:
        case "REPORT":
            return _report(text, at)
        case "START":
            return _start(text, at)
        case "END":
            request_id = _REQUEST_ID.match(text, at)
            return None if request_id is None else EndLine(request_id["value"])
        case "INIT_REPORT":
            numbers, words = _fields(text, at)
            duration = numbers.get("Init Duration", numbers.get("Duration"))
            if duration is None:
                return None
            return InitReport(
                float(duration),
                words.get("Phase"),
                _status(words),
                words.get("Error Type"),
                words.get("Initialization Type"),
            )
        case "RESTORE_REPORT":
            numbers, words = _fields(text, at)
            duration = numbers.get("Restore Duration", numbers.get("Duration"))
            if duration is None:
                return None
            return RestoreReport(float(duration), _status(words), words.get("Error Type"))
        case "INIT_START":
            _, words = _fields(text, at)
            return InitStart(words.get("Runtime Version"), words.get("Runtime Version ARN"))
        case "RESTORE_START":
            _, words = _fields(text, at)
            return RestoreStart(words.get("Runtime Version"), words.get("Runtime Version ARN"))
        case "RequestId:":
            return _fault(text, at)
        case word:
            return _extension(text, at, word)


def is_platform_line(text: str) -> bool:
    """Whether `text` begins as a platform line does. Those that `parse_line` cannot read must be counted."""
    return _HEAD.match(text) is not None or (_TIMED_OUT in text and _TIMEOUT.match(text) is not None)


def find_platform_line(text: str) -> int | None:
    """Where in `text` the first platform line begins; None when there is none."""
    head = _HEAD.search(text)
    found = None if head is None else head.start()
    if _TIMED_OUT not in text:
        return found
    timeout = _TIMEOUT.search(text)
    return found if timeout is None or (found is not None and found < timeout.start()) else timeout.start()


def whole_part(text: str) -> str | None:
    """`text` without a word at its end that may be a part of one; None when what is left tells nothing for sure.

    For a line at the end of a file that has no line end: it may have been cut there. Numbers need no such care, as
    their unit ends them. Words count when they are ones that Lambda writes and that begin no other. What ends within a
    field, or where a Status may have followed that changes its meaning, tells nothing. One thing stays open in a
    REPORT: whether an Init Duration would have followed.
    """
    fault_type = _FAULT_TYPE.search(text)
    if fault_type is not None and not _WHOLE_WORD.fullmatch(fault_type["value"]):
        text = text[: fault_type.start()]
    word = _LAST_WORD.search(text)
    if word is not None and not _WHOLE_WORD.fullmatch(word["value"]):
        if word["name"] == "Status":
            return None
        text = text[: word.start()]
    head = _HEAD.search(text)
    if head is None:
        return text if _TIMED_OUT in text and _TIMEOUT.search(text) else None
    match head[head.lastgroup or 0]:
        case "REPORT":
            numbers = list(_NUMBER.finditer(text, head.end()))
            is_whole = any(number["name"] == "Max Memory Used" for number in numbers)
            return text if is_whole and _WORDS_ONLY.fullmatch(text, numbers[-1].end()) else None
        case "START" | "END":
            request_id = _REQUEST_ID.match(text, head.end())
            return text if request_id is not None and _WHOLE_ID.fullmatch(request_id["value"]) else None
        case "INIT_REPORT" | "RESTORE_REPORT":
            return text if word is not None and word["name"] == "Status" else None
        case "INIT_START" | "RESTORE_START" | "RequestId:":
            return text
        case _:
            return None


# documented: statuses and phases in https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html, error
# types in https://github.com/aws/aws-lambda-runtime-interface-emulator, internal/lambda-managed-instances/rapid/model
_WHOLE_WORD = re.compile(
    r"timeout|error|failure|init|invoke|\$LATEST|true|false"
    r"|Runtime\.(?:ExitError|OutOfMemory|Unknown|ImportModuleError|UserCodeSyntaxError|HandlerNotFound|NodejsExit"
    r"|InvalidEntrypoint|InvalidWorkingDir|InitError|TruncatedResponse)"
    r"|Extension\.(?:Crash|ExitError|InitError|LaunchError)|Sandbox\.(?:Timedout|Failure)"
    r"|Function\.(?:ResponseSizeTooLarge|Unknown)"
)
_LAST_WORD = re.compile(
    r"(?P<name>Status|Error Type|Phase|Version|Runtime Version(?: ARN)?|TraceId|SegmentId|Sampled):[ \t]*"
    r"(?P<value>[^\s]{0,100})\s*\Z"
)
_FAULT_TYPE = re.compile(r"(?<!Type:)(?<!\s)\s{1,20}(?P<value>(?:Runtime|Extension|Sandbox|Function)\.?[A-Za-z]*)\s*\Z")
_WORDS_ONLY = re.compile(r"\s*(?:XRAY\s+)?(?:(?:Status|Error Type|TraceId|SegmentId|Sampled):[ \t]*[^\s]+\s*)*")
_WHOLE_ID = re.compile(_UUID)


def has_init_duration_first(text: str) -> bool:
    """Whether Init Duration stands before Duration: AWS's runtime interface emulator does that, AWS itself never.

    That emulator's value is not the init: it times the start of a goroutine, and the init is inside Duration
    (https://github.com/aws/aws-lambda-runtime-interface-emulator, internal/lambda/rie/handlers.go).
    """
    return _INIT_FIRST.search(text) is not None


_INIT_FIRST = re.compile(r"(?<![\w-])REPORT[ \t]+RequestId:[ \t]*[^\s]+?\s*Init Duration:")


# Nearly every REPORT is exactly this; reading it in one step gives what reading field by field does, sooner.
_USUAL = re.compile(
    rf"RequestId: ({_UUID})\tDuration: ([0-9]{{1,9}}\.[0-9]{{1,3}}) ms\tBilled Duration: ([0-9]{{1,9}}) ms\t"
    r"Memory Size: ([0-9]{1,6}) MB\tMax Memory Used: ([0-9]{1,6}) MB\t"
    r"(?:Init Duration: ([0-9]{1,9}\.[0-9]{1,3}) ms\t)?\n?\Z"
)


def _report(text: str, at: int) -> ReportLine | None:
    usual = _USUAL.match(text, at)
    if usual is not None:
        name, duration, billed, size, used, init = usual.groups()
        return ReportLine(name, float(duration), int(billed), int(size), int(used), _number(init))
    return _report_by_field(text, at)


def _report_by_field(text: str, at: int) -> ReportLine | None:
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
        status=_status(words),
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


def _fault(text: str, at: int) -> FaultLine | None:
    fault = _FAULT.match(text, at)
    if fault is None:
        return None
    return FaultLine(fault["request_id"], fault["reason"] or fault["exited"] or "", fault["error_type"])


def _extension(text: str, at: int, word: str) -> ExtensionLine | SubscriptionLine | None:
    told = _EXTENSION.match(text, at)
    if told is None:
        return None
    listed = tuple(part.strip() for part in (told["list"] or "").split(",") if part.strip())
    if word == "EXTENSION":
        return ExtensionLine(told["name"], told["state"], listed)
    return SubscriptionLine(told["name"], told["state"], listed, is_logs_api=word == "LOGS")


def _status(words: dict[str, str]) -> str | None:
    """Lambda's text format leaves `Status` away on success; tools that retell its lines do not."""
    status = words.get("Status")
    return None if status == "success" else status


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
