"""What kind an invocation was, and what told.

An Init Duration is not by itself a cold start that somebody waited for:

    cold            the caller waited for an on-demand init
    restored        the caller waited for a SnapStart restore
    init-repeated   the caller waited for an init that ran inside Duration: the first one failed or timed out, or the
                    environment was reset after a crash or a timeout
    provisioned     the init ran when provisioned concurrency was allocated
    proactive       the init ran well before the request: Lambda did it ahead of traffic
    warm            no init
    unknown         the log does not tell

`kind_of` decides from what a log shows of one invocation. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serverless_lab.coldstarts.wrapper_lines import WrapperInvocation
from serverless_lab.report_line import InitReport

COLD = "cold"
PROVISIONED = "provisioned"
PROACTIVE = "proactive"
RESTORED = "restored"
INIT_REPEATED = "init-repeated"
WARM = "warm"
UNKNOWN = "unknown"
KINDS = (COLD, RESTORED, INIT_REPEATED, PROVISIONED, PROACTIVE, WARM, UNKNOWN)

WAITED = (COLD, RESTORED, INIT_REPEATED)
"""The kinds whose caller waited for an init or a restore: what the cold-start rate counts."""

REPORT_FIELD = "report-field"
INIT_START_GAP = "init-start-gap"
INIT_REPORT = "init-report"
INIT_PHASE = "init-phase"
INITIALIZATION_TYPE = "initialization-type"
FIRST_IN_STREAM = "first-in-stream"
AFTER_RESET = "after-reset"
WRAPPER = "wrapper"
WRAPPER_IN_DURATION = "wrapper-in-duration"
NOTHING = "nothing"
KIND_SOURCES = (
    REPORT_FIELD,
    INIT_START_GAP,
    INIT_REPORT,
    INIT_PHASE,
    INITIALIZATION_TYPE,
    FIRST_IN_STREAM,
    AFTER_RESET,
    WRAPPER,
    WRAPPER_IN_DURATION,
    NOTHING,
)

FROM_WRAPPER = (WRAPPER, WRAPPER_IN_DURATION)
"""What a line of the module that `lab deploy` adds has told: its init is the handler's import, and no REPORT has it.
The second one is of targets that start a process within Duration."""

# assumed: on-demand, START follows the end of the init within milliseconds, so a second between them means that nobody
# waited. Ours to choose: Datadog's extension takes 10 s between INIT_START and START, and so misses short ones
# (https://github.com/DataDog/datadog-lambda-extension, bottlecap/src/lifecycle/invocation/processor.rs).
NOBODY_WAITED_GAP_MS = 1_000

# documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html: after a timeout or a crash
# Lambda resets the environment, and the init that follows is part of the next invocation.
RESETTING_STATUSES = ("timeout", "error")

# assumed: an error type of the function's own, such as Function.ResponseSizeTooLarge, leaves the runtime running; a log
# with a re-initialisation after one would change our mind.
KEEPING_ERROR_TYPES = "Function."

ON_DEMAND = "on-demand"
PROVISIONED_CONCURRENCY = "provisioned-concurrency"
SNAP_START = "snap-start"
MANAGED_INSTANCES = "lambda-managed-instances"
INITIALIZATION_TYPES = (ON_DEMAND, PROVISIONED_CONCURRENCY, SNAP_START, MANAGED_INSTANCES)
"""AWS's words for how an environment came to be: `initializationType`, and AWS_LAMBDA_INITIALIZATION_TYPE."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a log shows of one invocation, as far as its kind hangs on it.

    `gap_ms` is from INIT_START (or RESTORE_START) to START, where both are there. `has_init_start` says whether such a
    line led to this invocation, `init_phase` and `said_type` what it told; `init_reports` are those since. `tells_init`
    is False for a line whose end is missing, or which a query has not selected: its silence about an init says nothing.
    `prints_init` is False on targets that never print one. `wrapper` is what the module that lab adds has told.
    """

    init_duration_ms: float | None
    restore_duration_ms: float | None
    gap_ms: float | None = None
    has_init_start: bool = False
    init_phase: str | None = None
    said_type: str | None = None
    init_reports: Sequence[InitReport] = ()
    environment_type: str | None = None
    is_environment: bool = True
    is_first: bool = False
    after_reset: bool = False
    tells_init: bool = True
    prints_init: bool = True
    is_provisioned_function: bool = False
    wrapper: WrapperInvocation | None = None


def kind_of(shown: Shown) -> tuple[str, str]:
    """(kind, what told). The first rule that applies counts."""
    if shown.restore_duration_ms is not None:
        if shown.gap_ms is not None and shown.gap_ms > shown.restore_duration_ms + NOBODY_WAITED_GAP_MS:
            return PROACTIVE, INIT_START_GAP
        return RESTORED, REPORT_FIELD
    if shown.environment_type == MANAGED_INSTANCES and shown.is_environment:
        # documented: requests are routed to environments whose init has ended, several at once; reports have no
        # init: https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances-execution-environment.html
        return WARM, INITIALIZATION_TYPE
    if shown.init_duration_ms is not None:
        return _of_init(shown, shown.init_duration_ms)
    if any(told.phase == "invoke" or told.status is not None for told in shown.init_reports):
        return INIT_REPEATED, INIT_REPORT
    # documented: a suppressed init has phase=invoke in JSON events, and no event at all in the text format
    # (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
    if shown.init_phase == "invoke":
        return INIT_REPEATED, INIT_PHASE
    if shown.after_reset:
        return INIT_REPEATED, AFTER_RESET
    if shown.wrapper is not None:
        return _told_by_wrapper(shown, shown.wrapper)
    if shown.has_init_start:
        return UNKNOWN, NOTHING  # an init right before, and no word of how long it took
    if not shown.tells_init:
        return UNKNOWN, NOTHING
    if shown.prints_init:
        return WARM, REPORT_FIELD
    if shown.is_environment:
        if not shown.is_first:
            return WARM, FIRST_IN_STREAM
        return (UNKNOWN, NOTHING) if shown.is_provisioned_function else (COLD, FIRST_IN_STREAM)
    return UNKNOWN, NOTHING


def _of_init(shown: Shown, init_duration_ms: float) -> tuple[str, str]:
    """Whose REPORT has an Init Duration."""
    said = (shown.said_type, *(told.initialization_type for told in shown.init_reports))
    if PROVISIONED_CONCURRENCY in said:
        return PROVISIONED, INITIALIZATION_TYPE
    # documented: an on-demand init that succeeds writes no INIT_REPORT; allocating provisioned concurrency
    # does, without a phase: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    if any(told.phase is None and told.initialization_type is None for told in shown.init_reports):
        return PROVISIONED, INIT_REPORT
    if shown.gap_ms is None:
        return COLD, REPORT_FIELD
    return (PROACTIVE if shown.gap_ms > init_duration_ms + NOBODY_WAITED_GAP_MS else COLD), INIT_START_GAP


def _told_by_wrapper(shown: Shown, told: WrapperInvocation) -> tuple[str, str]:
    """The first invocation of a process waited for it, unless it was there by provisioned concurrency."""
    source = WRAPPER_IN_DURATION if told.tells_all else WRAPPER
    if told.sequence > 1:
        return WARM, source
    if shown.is_environment and not shown.is_first:
        return INIT_REPEATED, source  # a process that follows one that has ended, in the same environment
    if told.initialization_type == PROVISIONED_CONCURRENCY:
        return PROVISIONED, source
    return COLD, source


def resets(status: str | None, error_type: str | None) -> bool:
    """Whether the environment of an invocation that ended so has another init before the next one."""
    return status in RESETTING_STATUSES and not (error_type or "").startswith(KEEPING_ERROR_TYPES)
