"""Text -> the platform line in it: by field name, in any order, whatever separates the fields."""

from __future__ import annotations

import re

from serverless_lab.report_line.lines import (
    PROCESS_EXITED,
    TIMED_OUT,
    EndLine,
    ExtensionLine,
    FaultLine,
    InitReport,
    InitStart,
    PlatformLine,
    ReportLine,
    RestoreReport,
    RestoreStart,
    StartLine,
    SubscriptionLine,
)

UUID = r"[0-9A-Za-z]{8}(?:-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}"
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z"

# The first word and the field that must follow it: an application may print "REPORT" or "START" of its own.
HEAD = re.compile(
    r"(?<![\w-])(?:"
    r"(?P<request>REPORT|START|END)[ \t]+(?=RequestId:)"
    # The second form of each is that of the OpenTelemetry collector for Lambda.
    r"|(?P<init_report>INIT_REPORT)[ \t]+(?=Init Duration:|Initialization Type:)"
    r"|(?P<restore_report>RESTORE_REPORT)[ \t]+(?=Restore Duration:|Status:[ \t]*[a-z]+[ \t]+Duration:)"
    r"|(?P<version>INIT_START|RESTORE_START)[ \t]+(?=Runtime Version)"
    r"|(?P<extension>EXTENSION|TELEMETRY|LOGS)[ \t]+(?=Name:)"
    rf"|(?P<fault>RequestId:)[ \t]*(?={UUID}[ \t]+(?:Error:|{PROCESS_EXITED}))"
    r")"
)
# The old style's timeout begins with a time of its own, so it has no head.
TIMEOUT = re.compile(
    rf"(?:(?P<written_at>{_TIME})[ \t]+)?(?<![\w-])(?P<request_id>{UUID})[ \t]+"
    rf"(?P<reason>{TIMED_OUT}[0-9]{{1,12}}(?:\.[0-9]{{1,6}})? seconds)"
)
_FAULT = re.compile(
    rf"(?P<request_id>{UUID})[ \t]+(?:Error:[ \t]*(?P<reason>[^\r\n]*?)|(?P<exited>{PROCESS_EXITED}))"
    r"(?:\s+(?P<error_type>(?:Runtime|Extension|Sandbox|Function)\.[A-Za-z]+))?[ \t]*(?=[\r\n]|\Z)"
)
_EXTENSION = re.compile(
    r"Name:[ \t]*(?P<name>[^\t\r\n]{0,200}?)\s*(?:State:[ \t]*(?P<state>\w+(?: [a-z]+){0,3})\s*)?"
    r"(?:(?:Events|Types):[ \t]*\[(?P<list>[^\]\r\n]*)\]\s*)?"
    r"(?:Error Type:[ \t]*(?P<error_type>[^\s]+)\s*)?(?=[\r\n]|\Z)"
)

# A field is a name, a colon and a value. Numbers carry their unit, and the unit ends the field: copied lines
# have lost their tabs ("124.29 msBilled Duration: 125 ms"). The digits are bounded so that a number is the one printed.
NUMBER = re.compile(
    r"(?P<name>[A-Z][A-Za-z]{0,20}(?: [A-Z][A-Za-z]{0,20}){0,4}):[ \t]*"
    r"(?P<value>[0-9]{1,12}(?:\.[0-9]{1,6})?)[ \t]*(?P<unit>ms|MB)(?![a-z])"
)
REQUEST_ID = re.compile(rf"RequestId:[ \t]*(?P<value>{UUID}(?=(?:Init |Billed )?Duration:|Version:)|[^\s]+)")
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
    head = next((found for found in HEAD.finditer(text) if found["request"] == "REPORT"), None)
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
    head = HEAD.search(text)
    timeout = TIMEOUT.search(text) if TIMED_OUT in text else None
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
            request_id = REQUEST_ID.match(text, at)
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
    return HEAD.match(text) is not None or (TIMED_OUT in text and TIMEOUT.match(text) is not None)


def find_platform_line(text: str) -> int | None:
    """Where in `text` the first platform line begins; None when there is none."""
    head = HEAD.search(text)
    found = None if head is None else head.start()
    if TIMED_OUT not in text:
        return found
    timeout = TIMEOUT.search(text)
    return found if timeout is None or (found is not None and found < timeout.start()) else timeout.start()


def has_init_duration_first(text: str) -> bool:
    """Whether Init Duration stands before Duration: AWS's runtime interface emulator does that, AWS itself never.

    That emulator's value is not the init: it times the start of a goroutine, and the init is inside Duration
    (https://github.com/aws/aws-lambda-runtime-interface-emulator, internal/lambda/rie/handlers.go).
    """
    return _INIT_FIRST.search(text) is not None


_INIT_FIRST = re.compile(r"(?<![\w-])REPORT[ \t]+RequestId:[ \t]*[^\s]+?\s*Init Duration:")


# Nearly every REPORT is exactly this; reading it in one step gives what reading field by field does, sooner.
_USUAL = re.compile(
    rf"RequestId: ({UUID})\tDuration: ([0-9]{{1,9}}\.[0-9]{{1,3}}) ms\tBilled Duration: ([0-9]{{1,9}}) ms\t"
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
    request_id = REQUEST_ID.match(text, at)
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
    request_id = REQUEST_ID.match(text, at)
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
        return ExtensionLine(told["name"], told["state"], listed, told["error_type"])
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
        if at == len(text) or HEAD.match(text, at):
            return numbers, words
        number = NUMBER.match(text, at)
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
