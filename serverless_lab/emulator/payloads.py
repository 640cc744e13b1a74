"""What the Invoke API refuses before anything runs: payloads that are too large, or no JSON. In AWS's words.

The sizes: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html. AWS parses JSON with Jackson and
hands on what that says; the cases people meet are told in its words here.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass

from serverless_lab import quotas

EVENT = "Event"

_TOKEN = re.compile(r"[^\W\d][\w$]*")
_VALUE = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_EXPECTED = {
    "Expecting property name": "was expecting double-quote to start field name",
    "Expecting ':'": "was expecting a colon to separate field name and value",
    "Expecting value": f"expected a valid value {_VALUE}",
    "Extra data": "Expected space separating root-level values",
}
_SHOWN_BYTES = 500


@dataclass(frozen=True)
class Refusal:
    """An error answer of the Invoke API."""

    status: int
    error_type: str
    body: dict[str, str]


def too_large(length: int, invocation_type: str) -> Refusal | None:
    """Why a payload of `length` bytes is refused, or None."""
    if length > quotas.PAYLOAD_MAX_BYTES:
        # recorded: https://github.com/pelmers/streetwarp-web/issues/14 and, with the status,
        # https://github.com/awslabs/aws-athena-query-federation/issues/793
        message = f"Request must be smaller than {quotas.PAYLOAD_MAX_BYTES} bytes for the InvokeFunction operation"
    elif invocation_type == EVENT and length > quotas.PAYLOAD_ASYNC_MAX_BYTES:
        # recorded: https://github.com/ASFHyP3/hyp3/issues/2241, when the limit was 256 KB
        limit = quotas.PAYLOAD_ASYNC_MAX_BYTES
        message = f"{length} byte payload is too large for the Event invocation type (limit {limit} bytes)"
    else:
        return None
    return Refusal(413, "RequestEntityTooLargeException", {"Message": message})


def not_json(payload: bytes) -> Refusal | None:
    """Why these bytes are refused as an event, or None. Nothing at all is accepted: it stands for `{}`."""
    problem = _problem(payload) if payload else None
    if problem is None:
        return None
    message = f"Could not parse request body into json: Could not parse payload into json: {problem}"
    return Refusal(400, "InvalidRequestContentException", {"Type": "User", "message": message})


def event_bytes(payload: bytes) -> bytes:
    """What the runtime gets of an accepted payload: the same bytes, less a byte order mark."""
    return payload.removeprefix(codecs.BOM_UTF8) or b"{}"


def _problem(payload: bytes) -> str | None:
    try:
        text = event_bytes(payload).decode()
    except UnicodeDecodeError as error:
        kind = "start" if error.reason == "invalid start byte" else "middle"
        at = error.start if kind == "start" else min(error.start + 1, len(payload) - 1)
        before = payload[: error.start].decode("utf-8", "replace")
        return f"Invalid UTF-8 {kind} byte 0x{payload[at]:02x}{_place(payload, before, 1)}"
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        return _in_jacksons_words(payload, text, error)
    except _NotANumber as error:
        token = str(error)
        allowed = "enable JsonParser.Feature.ALLOW_NON_NUMERIC_NUMBERS to allow"
        return f"Non-standard token '{token}': {allowed}{_place(payload, text[: text.index(token) + len(token)], 0)}"
    except RecursionError:
        return "Document nesting depth exceeds the maximum allowed"
    return None


class _NotANumber(Exception):
    pass


def _refuse_constant(token: str) -> None:
    raise _NotANumber(token)


def _in_jacksons_words(payload: bytes, text: str, error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Unterminated string"):
        place = _place(payload, text.rstrip(), 0)
        return f"Unexpected end-of-input: was expecting closing quote for a string value{place}"
    if not text[error.pos :].strip():
        opened = _innermost_open(text)
        if opened is None:
            return f"No content to map due to end-of-input{_place(payload, '', 0)}"
        kind = "Object" if text[opened] == "{" else "Array"
        start = _place(payload, text[:opened], 1).removeprefix("\n at ")
        close = f"expected close marker for {kind} (start marker at {start})"
        return f"Unexpected end-of-input: {close}{_place(payload, text, 1)}"
    token = _TOKEN.match(text, error.pos)
    if token is not None and error.msg.startswith("Expecting value"):
        read = text[: token.end() + 1]
        return f"Unrecognized token '{token[0]}': was expecting {_VALUE}{_place(payload, read, 1)}"
    found = text[error.pos]
    if error.msg.startswith("Invalid control character"):
        escaped = "has to be escaped using backslash to be included in string value"
        what = f"Illegal unquoted character ((CTRL-CHAR, code {ord(found)})): {escaped}"
    else:
        expected = next((words for begin, words in _EXPECTED.items() if error.msg.startswith(begin)), None)
        if expected is None:
            opened = _innermost_open(text[: error.pos])
            kind = "Object" if opened is not None and text[opened] == "{" else "Array"
            expected = f"was expecting comma to separate {kind} entries"
        what = f"Unexpected character ('{found}' (code {ord(found)})): {expected}"
    return f"{what}{_place(payload, text[: error.pos + 1], 1)}"


def _innermost_open(text: str) -> int | None:
    """Where the innermost bracket stands that is open at the end of `text`; brackets in strings do not count."""
    opened: list[int] = []
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[][{}]', text):
        if found[0] in "[{":
            opened.append(found.start())
        elif found[0] in "]}" and opened:
            opened.pop()
    return opened[-1] if opened else None


def _place(payload: bytes, read: str, column: int) -> str:
    """Where Jackson stood: after `read`, and `column` further."""
    shown = payload[:_SHOWN_BYTES].decode("utf-8", "replace")
    if len(payload) > _SHOWN_BYTES:
        shown += f'"[truncated {len(payload) - _SHOWN_BYTES} bytes]'
    else:
        shown += '"'
    line = read.count("\n") + 1
    at = len(read.rpartition("\n")[2].encode()) + column
    return f'\n at [Source: (byte[])"{shown}; line: {line}, column: {at}]'
