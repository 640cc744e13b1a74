"""X-Ray's part in an invocation: the trace header a runtime is given, and what REPORT says of it.

The form of the header: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader.
A header that comes with the request is passed on under a parent of the invocation's own; where none comes, the
invocation begins a trace. Ids follow from the request id, so that runs can be repeated. No segment is sent anywhere.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_ROOT = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}", re.IGNORECASE)


@dataclass(frozen=True)
class Trace:
    """One invocation's place in a trace. `header` is what the runtime gets as Lambda-Runtime-Trace-Id."""

    trace_id: str
    segment_id: str
    sampled: bool
    header: str


def trace_of(request_id: str, epoch_ms: int, *, active: bool, incoming: str | None = None) -> Trace:
    """The trace of an invocation.

    Args:
        epoch_ms: when it was invoked: a new trace has the time in its id.
        active: the function's TracingConfig is Active; else it traces only what its caller has sampled.
        incoming: X-Amzn-Trace-Id of the request.
    """
    said = dict(part.strip().split("=", 1) for part in (incoming or "").split(";") if "=" in part)
    digest = hashlib.sha256(request_id.encode()).hexdigest()
    root = said.get("Root", "")
    if not _ROOT.fullmatch(root):
        said, root = {}, f"1-{epoch_ms // 1000:08x}-{digest[:24]}"
    decided = {"1": True, "0": False}.get(said.get("Sampled", ""))
    sampled = active if decided is None else decided
    segment_id = digest[24:40]
    lineage = said.get("Lineage") or f"1:{digest[40:48]}:0"
    header = f"Root={root};Parent={segment_id};Sampled={int(sampled)};Lineage={lineage}"
    return Trace(root, segment_id, sampled, header)
