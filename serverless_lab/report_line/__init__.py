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

from serverless_lab.report_line.cutting import whole_part
from serverless_lab.report_line.lines import (
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
from serverless_lab.report_line.parsing import (
    find_platform_line,
    has_init_duration_first,
    is_platform_line,
    parse,
    parse_end,
    parse_init_report,
    parse_init_start,
    parse_line,
    parse_start,
)
from serverless_lab.report_line.rendering import (
    render,
    render_end,
    render_extension,
    render_fault,
    render_init_report,
    render_init_start,
    render_restore_report,
    render_restore_start,
    render_start,
    render_subscription,
)

__all__ = [
    "EndLine",
    "ExtensionLine",
    "FaultLine",
    "InitReport",
    "InitStart",
    "PlatformLine",
    "ReportLine",
    "RestoreReport",
    "RestoreStart",
    "StartLine",
    "SubscriptionLine",
    "find_platform_line",
    "has_init_duration_first",
    "is_platform_line",
    "parse",
    "parse_end",
    "parse_init_report",
    "parse_init_start",
    "parse_line",
    "parse_start",
    "render",
    "render_end",
    "render_extension",
    "render_fault",
    "render_init_report",
    "render_init_start",
    "render_restore_report",
    "render_restore_start",
    "render_start",
    "render_subscription",
    "whole_part",
]
