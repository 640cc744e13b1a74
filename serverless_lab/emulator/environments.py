"""An execution environment: one log stream, one /tmp, and a runtime process that may be replaced after a crash.

It runs the phases it is told to run (`init`, `invoke`), judges the init and function timeouts, and says what the
platform log says about them: INIT_START, START, END, REPORT and INIT_REPORT as AWS writes them. Which request comes
here, and when the environment ends, is the scheduler's business.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from serverless_lab import quotas
from serverless_lab.emulator import runtime_api
from serverless_lab.emulator.clock import Clock
from serverless_lab.emulator.process import Exited, GroupGuard, Heard, RuntimeProcess, TimedOut
from serverless_lab.emulator.runtime_api import Call
from serverless_lab.report_line import (
    InitReport,
    ReportLine,
    render,
    render_end,
    render_init_report,
    render_init_start,
    render_start,
)

WriteLog = Callable[[Iterable[tuple[int, str]]], None]
"""Appends (epoch ms, message) to the environment's log stream."""

RESPONSE_TOO_LARGE = 6_291_556
"""Bytes. As AWS's own message says it; see PAYLOAD_MAX_BYTES for the documented 6 MB."""


@dataclass(frozen=True)
class RuntimeSettings:
    """What all environments of one emulator share. `private_tmp`: whether the host allows a /tmp of its own."""

    interpreter: Path
    runtime_directory: Path
    runtime_version: str
    runtime_version_arn: str
    work: Path
    private_tmp: bool
    guard: GroupGuard


@dataclass(frozen=True)
class FunctionSettings:
    """What an environment needs to know of its function version; sizes in MB, times in ms."""

    name: str
    version: str
    handler: str
    runtime: str
    memory_size_mb: int
    timeout_ms: int
    log_group: str
    task_root: Path
    layers: tuple[Path, ...]
    variables: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class InvokeRequest:
    """One invocation: `payload` is JSON, `function_arn` the one that was invoked (with its qualifier)."""

    request_id: str
    payload: bytes
    function_arn: str
    client_context: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True)
class InvokeOutcome:
    """How an invocation ended. `crashed`: the process is gone and the next one begins with init.

    `function_error` is None or "Unhandled"; then `payload` is the error object. `tail` is the end of its log.
    """

    payload: bytes
    function_error: str | None
    report: ReportLine
    crashed: bool
    tail: bytes


@dataclass(frozen=True)
class _Failure:
    """Why a phase did not end well: as REPORT says it, and the payload its caller gets. A timeout has no error type."""

    status: str
    error_type: str | None
    payload: bytes


class ExecutionEnvironment:
    """One environment of one function version.

    Args:
        environment_id: 32 hex digits, the end of its log stream's name.
        function: what it runs.
        settings: what all environments share.
        variables: the process's whole environment.
        clock: for the calendar times in the log.
        write_log: appends to its log stream.
    """

    def __init__(
        self,
        environment_id: str,
        function: FunctionSettings,
        settings: RuntimeSettings,
        variables: dict[str, str],
        clock: Clock,
        write_log: WriteLog,
    ) -> None:
        self.environment_id = environment_id
        self.function = function
        self._settings = settings
        self._clock = clock
        self._write_log = write_log
        self._home = settings.work / "environments" / environment_id
        tmp = self._home / "tmp"
        tmp.mkdir(parents=True)
        tmp.chmod(0o1777)
        self._tmp = tmp
        self._variables = variables if settings.private_tmp else {**variables, "TMPDIR": str(tmp)}
        self._process: RuntimeProcess | None = None
        self._asked_next = False
        self._init_duration_ms: float | None = None
        self._peak_memory_bytes = 0
        self._unlogged: list[tuple[int, str]] = []

    def init(self) -> bool:
        """Run the Init phase; whether it succeeded. What failed is told in the log and repeated by the first invoke."""
        self._log([render_init_start(self._settings.runtime_version, self._settings.runtime_version_arn)])
        started_ns = time.monotonic_ns()
        failure, duration_ms = self._start_runtime(started_ns + quotas.INIT_TIMEOUT_MS * 1_000_000, None)
        self._write_log(self._output_events())
        if failure is None:
            self._init_duration_ms = duration_ms
            self.peak_memory_mb()
            return True
        self._log([render_init_report(InitReport(duration_ms, "init", failure.status, failure.error_type))])
        return False

    def invoke(self, request: InvokeRequest, repeat_init: bool) -> InvokeOutcome:
        """Run the Invoke phase for `request`; with `repeat_init`, init first and inside the function's timeout.

        A process that ended after its last answer is replaced the same way: nobody noticed until now.
        """
        timeout_ns = self.function.timeout_ms * 1_000_000
        events = self._output_events()
        failure: _Failure | None = None
        if not repeat_init and self._ready_for_next(time.monotonic_ns() + timeout_ns):
            started_ns = time.monotonic_ns()
        else:
            self._drop_process()
            started_ns = time.monotonic_ns()
            failure, init_ms = self._start_runtime(started_ns + timeout_ns, request.request_id)
            events += self._output_events()
            if failure is not None and failure.status != "timeout":
                report = InitReport(init_ms, "invoke", failure.status, failure.error_type)
                events.append((self._clock.epoch_ms(), render_init_report(report)))
        start_event = (self._clock.epoch_ms(), render_start(request.request_id, self.function.version))
        self._write_log([*events, start_event])
        payload, ended_ns, function_error = b"null", time.monotonic_ns(), None
        if failure is None:
            payload, ended_ns, failure, function_error = self._exchange(request, started_ns + timeout_ns)
        return self._conclude(request, start_event, started_ns, ended_ns, payload, failure, function_error)

    def stop(self) -> None:
        """Shutdown phase: the processes are killed and /tmp is gone."""
        self._drop_process()
        shutil.rmtree(self._home, ignore_errors=True)

    def peak_memory_mb(self) -> int:
        """High-water mark over all its invocations so far, rounded up."""
        if self._process is not None:
            self._peak_memory_bytes = max(self._peak_memory_bytes, self._process.peak_memory_bytes())
        return math.ceil(self._peak_memory_bytes / (1024 * 1024))

    # Phases ----------------------------------------------------------------------------------------------------

    def _start_runtime(self, deadline_ns: int, request_id: str | None) -> tuple[_Failure | None, float]:
        """Start a runtime process and wait until it asks for its first event: (what failed, duration in ms)."""
        function, settings = self.function, self._settings
        sys_path = [str(function.task_root)]
        for layer in function.layers:
            version = ".".join(settings.runtime_version.split(":")[1].split(".")[:2])
            sys_path += [str(layer / "python" / "lib" / f"python{version}" / "site-packages"), str(layer / "python")]
        process = RuntimeProcess(
            interpreter=settings.interpreter,
            sys_path=[*sys_path, str(settings.runtime_directory)],
            handler=function.handler,
            variables=self._variables,
            directory=function.task_root,
            tmp=self._tmp if settings.private_tmp else None,
            guard=settings.guard,
        )
        self._process = process
        self._asked_next = False
        init_error: _Failure | None = None
        while True:
            heard = process.wait(deadline_ns)
            if isinstance(heard, TimedOut):
                duration_ms = (deadline_ns - process.started_ns) / 1e6
                failure = self._timeout_failure(request_id)
                break
            duration_ms = (heard.at_ns - process.started_ns) / 1e6
            if isinstance(heard, Exited):
                failure = init_error or _exit_failure(request_id, heard)
                break
            route = heard.request.route()
            if route is not None and route[0] is Call.NEXT:
                self._asked_next = True
                return None, duration_ms
            if route is not None and route[0] is Call.INIT_ERROR:
                error_type = heard.request.headers.get(runtime_api.FUNCTION_ERROR_TYPE_HEADER, "Runtime.Unknown")
                init_error = _Failure("error", error_type, heard.request.body)
                process.answer(runtime_api.ACCEPTED)
            else:
                self._refuse(process, heard)
        self._drop_process()
        return failure, duration_ms

    def _ready_for_next(self, deadline_ns: int) -> bool:
        """Whether the process is there and waits for an event; False when it ended after its last answer."""
        process = self._process
        if process is None:
            return False
        while not self._asked_next:
            heard = process.wait(deadline_ns)
            if not isinstance(heard, Heard):
                return False
            route = heard.request.route()
            if route is not None and route[0] is Call.NEXT:
                self._asked_next = True
            else:
                self._refuse(process, heard)
        return True

    def _exchange(self, request: InvokeRequest, deadline_ns: int) -> tuple[bytes, int, _Failure | None, str | None]:
        """Hand the event over and hear the answer: (payload, when it ended, failure of the process, FunctionError)."""
        process = self._process
        assert process is not None
        left_ms = (deadline_ns - time.monotonic_ns()) / 1e6
        process.answer(
            runtime_api.next_response(
                request_id=request.request_id,
                payload=request.payload,
                deadline_ms=int(self._clock.epoch_ms() + left_ms),
                function_arn=request.function_arn,
                trace_id=request.trace_id,
                client_context=request.client_context,
            )
        )
        self._asked_next = False
        while True:
            heard = process.wait(deadline_ns)
            if isinstance(heard, TimedOut):
                return b"", deadline_ns, self._timeout_failure(request.request_id), None
            if isinstance(heard, Exited):
                return b"", heard.at_ns, _exit_failure(request.request_id, heard), None
            route = heard.request.route()
            if route is None or route[1] != request.request_id:
                self._refuse(process, heard)
                continue
            process.answer(runtime_api.ACCEPTED)
            payload = heard.request.body
            if route[0] is Call.ERROR:
                return payload, heard.at_ns, None, "Unhandled"
            if len(payload) > RESPONSE_TOO_LARGE:
                return _too_large(), heard.at_ns, None, "Unhandled"
            return payload, heard.at_ns, None, None

    def _conclude(
        self,
        request: InvokeRequest,
        start_event: tuple[int, str],
        started_ns: int,
        ended_ns: int,
        payload: bytes,
        failure: _Failure | None,
        function_error: str | None,
    ) -> InvokeOutcome:
        duration_ms = max(0.0, (ended_ns - started_ns) / 1e6)
        if failure is not None and failure.status == "timeout":
            duration_ms = float(self.function.timeout_ms)
        memory_mb = self.peak_memory_mb()
        if failure is not None:
            payload, function_error = failure.payload, "Unhandled"
            self._drop_process()
        init_ms, self._init_duration_ms = self._init_duration_ms, None
        report = ReportLine(
            request_id=request.request_id,
            duration_ms=round(duration_ms, 2),
            billed_duration_ms=math.ceil(round(round(duration_ms, 2) + round(init_ms or 0.0, 2), 2)),
            memory_size_mb=self.function.memory_size_mb,
            max_memory_used_mb=memory_mb,
            init_duration_ms=None if init_ms is None else round(init_ms, 2),
            status=None if failure is None else failure.status,
            error_type=None if failure is None else failure.error_type,
        )
        now = self._clock.epoch_ms()
        events = self._output_events()
        events += [(now, render_end(request.request_id)), (now, render(report))]
        self._write_log(events)
        tail = "".join(message for _, message in [start_event, *events]).encode()[-quotas.LOG_RESULT_MAX_BYTES :]
        return InvokeOutcome(payload, function_error, report, crashed=failure is not None, tail=tail)

    # Small parts -----------------------------------------------------------------------------------------------

    def _refuse(self, process: RuntimeProcess, heard: Heard) -> None:
        route = heard.request.route()
        if route is None:
            process.answer(runtime_api.error_response("404 Not Found", "InvalidRequest", "no such call"))
        else:
            process.answer(
                runtime_api.error_response("400 Bad Request", "InvalidRequestID", "this request is not in progress")
            )

    def _timeout_failure(self, request_id: str | None) -> _Failure:
        seconds = self.function.timeout_ms / 1000
        message = f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds"
        return _Failure("timeout", None, _error("Sandbox.Timedout", message))

    def _drop_process(self) -> None:
        if self._process is not None:
            self.peak_memory_mb()
            self._process.kill()
            self._unlogged += self._take_lines(self._process)
            self._process = None
            self._asked_next = False

    def _take_lines(self, process: RuntimeProcess) -> list[tuple[int, str]]:
        lines, process.lines = process.lines, []
        events = []
        for at_ms, line in lines:
            for begin in range(0, len(line), quotas.LOG_EVENT_MAX_BYTES):
                piece = line[begin : begin + quotas.LOG_EVENT_MAX_BYTES]
                events.append((at_ms, piece.decode("utf-8", "replace")))
        return events

    def _output_events(self) -> list[tuple[int, str]]:
        """What the function has written and the log does not have yet."""
        if self._process is not None:
            self._process.flush()
            self._unlogged += self._take_lines(self._process)
        events, self._unlogged = self._unlogged, []
        return events

    def _log(self, messages: list[str]) -> None:
        now = self._clock.epoch_ms()
        self._write_log([(now, message) for message in messages])


def _exit_failure(request_id: str | None, exited: Exited) -> _Failure:
    reason = exited.reason()
    what = f"Runtime exited with error: {reason}" if reason else "Runtime exited without providing a reason"
    error = _error("Runtime.ExitError", f"RequestId: {request_id} Error: {what}")
    return _Failure("error", "Runtime.ExitError", error)


def _too_large() -> bytes:
    message = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_TOO_LARGE} bytes)."
    return _error("Function.ResponseSizeTooLarge", message)


def _error(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()
