"""What is left of a line whose end may be missing, so that nothing is read into it."""

from __future__ import annotations

import re

from serverless_lab.report_line.lines import TIMED_OUT
from serverless_lab.report_line.parsing import HEAD, NUMBER, REQUEST_ID, TIMEOUT, UUID


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
    head = HEAD.search(text)
    if head is None:
        return text if TIMED_OUT in text and TIMEOUT.search(text) else None
    match head[head.lastgroup or 0]:
        case "REPORT":
            numbers = list(NUMBER.finditer(text, head.end()))
            is_whole = any(number["name"] == "Max Memory Used" for number in numbers)
            return text if is_whole and _WORDS_ONLY.fullmatch(text, numbers[-1].end()) else None
        case "START" | "END":
            request_id = REQUEST_ID.match(text, head.end())
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
_WHOLE_ID = re.compile(UUID)
