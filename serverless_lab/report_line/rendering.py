"""Lines -> text, byte for byte what AWS writes."""

from __future__ import annotations

from serverless_lab.report_line.lines import (
    PROCESS_EXITED,
    ExtensionLine,
    FaultLine,
    InitReport,
    ReportLine,
    RestoreReport,
    SubscriptionLine,
)


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
    if fault.reason == PROCESS_EXITED:
        return f"RequestId: {fault.request_id} {fault.reason}\n\n"
    line = f"RequestId: {fault.request_id} Error: {fault.reason}\n"
    return line if fault.error_type is None else f"{line}{fault.error_type}\n"


def render_extension(line: ExtensionLine) -> str:
    """`EXTENSION⇥Name: lambda-adapter⇥State: Ready⇥Events: [INVOKE, SHUTDOWN]`."""
    error = "" if line.error_type is None else f"\tError Type: {line.error_type}"
    return f"EXTENSION\tName: {line.name}\tState: {line.state}\tEvents: [{', '.join(line.events)}]{error}\n"


def render_subscription(line: SubscriptionLine) -> str:
    """`TELEMETRY⇥Name: datadog-agent⇥State: Subscribed⇥Types: [Platform, Function]`."""
    head = "LOGS" if line.is_logs_api else "TELEMETRY"
    return f"{head}\tName: {line.name}\tState: {line.state}\tTypes: [{', '.join(line.types)}]\n"


def _outcome(status: str | None, error_type: str | None) -> list[str]:
    fields = [] if status is None else [f"Status: {status}"]
    return fields if error_type is None else [*fields, f"Error Type: {error_type}"]
