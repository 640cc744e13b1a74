"""What the name of a log stream or a log group says."""

from __future__ import annotations

import re

# `2026/10/09/[$LATEST]<32 hex>`; in a group of the user's own naming the function stands before the bracket.
_STREAM_NAME = re.compile(
    r"(?:\d{4}/\d\d/\d\d/)?(?P<function>[^\[\]/]*)\[(?P<version>[^\[\]]+)\](?P<environment>[^\[\]/\s]+)"
)


def split_stream_name(log_stream: str) -> tuple[str | None, str | None]:
    """(environment id, version) of a stream's name; the name itself is the environment where it has another form."""
    match = _STREAM_NAME.fullmatch(log_stream)
    if match is None:
        return log_stream or None, None
    return match["environment"], match["version"]


def function_name(log_group: str, log_stream: str = "") -> str:
    """The function whose log this is; the group's whole name where nothing tells."""
    if log_group.startswith("/aws/lambda/"):
        return log_group.removeprefix("/aws/lambda/")
    match = _STREAM_NAME.fullmatch(log_stream)
    return (match["function"] if match else "") or log_group
