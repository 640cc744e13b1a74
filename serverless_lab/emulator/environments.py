"""An execution environment: one log stream, one /tmp, and a runtime process that may be replaced after a crash.

It runs the phases it is told to run (`init`, `invoke`), judges the init and function timeouts, and says what the
platform log says about them: INIT_START, START, END, REPORT and INIT_REPORT as AWS writes them. Which request comes
here, and when the environment ends, is the scheduler's business.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from serverless_lab import quotas
from serverless_lab.coldstarts.platform_events import InitRuntimeDone, PlatformEvent, RuntimeDone
from serverless_lab.emulator import outcomes, runtime_api
from serverless_lab.emulator.clock import Clock
from serverless_lab.emulator.filesystem import FileSystem, Stage
from serverless_lab.emulator.launch import launch
from serverless_lab.emulator.meter import Meter
from serverless_lab.emulator.outcomes import Failure
from serverless_lab.emulator.output import Dropped, Line
from serverless_lab.emulator.platform_log import ON_DEMAND, PROVISIONED, LogSettings
from serverless_lab.emulator.process import Exited, GroupGuard, Heard, OutOfMemory, RuntimeProcess, TimedOut
from serverless_lab.emulator.runtime_api import Call
from serverless_lab.emulator.runtimes import Runtime, Runtimes
from serverless_lab.emulator.tracing import Trace
from serverless_lab.report_line import EndLine, InitReport, InitStart, ReportLine, StartLine

WriteLog = Callable[[Iterable[tuple[int, str]]], None]
"""Appends (epoch ms, message) to the environment's log stream."""

_NEXT_PATIENCE_NS = 5_000_000_000
"""How long, for real, a runtime that has answered may take to ask for its next event."""


@dataclass(frozen=True)
class RuntimeSettings:
    """What all environments of one emulator share.

    `stage`: what they see of the file system. `virtual`: whether they are measured in virtual time.
    """

    runtimes: Runtimes
    work: Path
    stage: Stage
    guard: GroupGuard
    niceness: int = 0
    virtual: bool = False


@dataclass(frozen=True)
class FunctionSettings:
    """What an environment needs to know of its function version; sizes in MB, times in ms.

    `runtime` is what it asks for, `hosted` what it runs on. `opt` is the folder of its layers, one over the other, and
    `modules` what a Node function finds beside its code.
    """

    name: str
    version: str
    handler: str
    runtime: str
    memory_size_mb: int
    timeout_ms: int
    log_group: str
    task_root: Path
    opt: Path | None
    hosted: Runtime
    variables: tuple[tuple[str, str], ...]
    logging: LogSettings = field(default_factory=LogSettings)
    tracing: bool = False
    """Its TracingConfig is Active."""
    ephemeral_storage_mb: int = quotas.EPHEMERAL_STORAGE_DEFAULT_MB
    modules: Path | None = None


@dataclass(frozen=True)
class InvokeRequest:
    """One invocation: `payload` is JSON, `function_arn` the one that was invoked (with its qualifier)."""

    request_id: str
    payload: bytes
    function_arn: str
    client_context: str | None = None
    trace: Trace | None = None


@dataclass(frozen=True)
class InvokeOutcome:
    """How an invocation ended, after `duration_ms`. `crashed`: the process is gone and the next one begins with init.

    `function_error` is None or "Unhandled"; then `payload` is the error object. `tail` is the end of its log.
    """

    payload: bytes
    function_error: str | None
    duration_ms: float
    report: ReportLine
    crashed: bool
    tail: bytes


@dataclass(frozen=True)
class InitOutcome:
    """How an Init phase ended, after `duration_ms`."""

    succeeded: bool
    duration_ms: float


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
        self._file_system = FileSystem(
            settings.stage,
            self._home,
            function.ephemeral_storage_mb,
            task_root=function.task_root,
            opt=function.opt,
            runtime=function.hosted.directory,
            modules=function.modules,
        )
        self._places = settings.stage.places(function.task_root, function.opt, function.hosted.directory)
        self._variables = {**variables, **self._file_system.variables()}
        self._process: RuntimeProcess | None = None
        self._phase: _Phase
        self._asked_next = False
        self._init_duration_ms: float | None = None
        self._peak_memory_bytes = 0
        self._unlogged: list[Line] = []
        self._dropped: Dropped | None = None
        self._told_before: list[tuple[int, str]] = []
        self._initialization_type = variables.get("AWS_LAMBDA_INITIALIZATION_TYPE", ON_DEMAND)

    def init(self, meter: Meter) -> InitOutcome:
        """Run the Init phase. What failed is told in the log and repeated by the first invoke."""
        self._phase = _Phase(meter, self._clock)
        self._write_log(self._platform_events(0, self._init_start("init")))
        provisioned = self._initialization_type == PROVISIONED
        limit_ms = quotas.PROVISIONED_INIT_TIMEOUT_MS if provisioned else quotas.INIT_TIMEOUT_MS
        failure, duration_ms = self._start_runtime(limit_ms, None)
        events = self._output_events(0, duration_ms)
        if failure is None:
            self._init_duration_ms = duration_ms
        events += self._platform_events(duration_ms, *self._init_end("init", duration_ms, failure))
        self._write_log(events)
        if not provisioned:
            self._told_before = events
        return InitOutcome(failure is None, duration_ms)

    def invoke(self, request: InvokeRequest, repeat_init: bool, meter: Meter) -> InvokeOutcome:
        """Run the Invoke phase for `request`; with `repeat_init`, init first and inside the function's timeout.

        A process that ended after its last answer is replaced the same way: nobody noticed until now.
        """
        self._phase = _Phase(meter, self._clock)
        events = self._output_events(0, 0)
        told, self._told_before = [*self._told_before, *events], []
        failure: Failure | None = None
        begun_ms = 0.0
        if not repeat_init and self._ready_for_next():
            self._begin_invoke(meter)
        else:
            self._drop_process()
            events += self._platform_events(0, self._init_start("invoke"))
            failure, begun_ms = self._start_runtime(self.function.timeout_ms, request.request_id)
            repeated = self._output_events(0, begun_ms)
            repeated += self._platform_events(begun_ms, *self._init_end("invoke", begun_ms, failure))
            events += repeated
            told += repeated
            if failure is None:
                self._begin_invoke(meter, begun_ms)
        start = StartLine(request.request_id, self.function.version, request.function_arn)
        start_events = self._platform_events(begun_ms, start)
        self._write_log([*events, *start_events])
        payload, duration_ms, function_error = b"null", begun_ms, None
        if failure is None:
            payload, duration_ms, failure, function_error = self._exchange(request)
        return self._conclude(request, [*told, *start_events], begun_ms, duration_ms, payload, failure, function_error)

    def stop(self) -> None:
        """Shutdown phase: the processes are killed and /tmp is gone."""
        self._drop_process()
        self._file_system.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def peak_memory_mb(self) -> int:
        """High-water mark over all its invocations so far, rounded up."""
        if self._process is not None:
            self._process.memory.settle()
        return self._peak_seen_mb()

    def _peak_seen_mb(self) -> int:
        if self._process is not None:
            self._peak_memory_bytes = max(self._peak_memory_bytes, self._process.memory.peak_bytes)
        return math.ceil(self._peak_memory_bytes / (1024 * 1024))

    # Phases ----------------------------------------------------------------------------------------------------

    def _begin_invoke(self, meter: Meter, begun_ms: float = 0.0) -> None:
        """From here on the handler is measured: at its own speed, not at that of the init before it."""
        process = self._process
        assert process is not None
        meter.begin(process.pid, uncounted=process.measuring_thread, settled_ms=begun_ms)
        meter.hear(None, process.take_samples(), None)

    def _start_runtime(self, limit_ms: float, request_id: str | None) -> tuple[Failure | None, float]:
        """Start a runtime process and wait until it asks for its first event: (what failed, after how many ms)."""
        function, settings = self.function, self._settings
        started = launch(
            function.hosted, function.handler, function.memory_size_mb, self._places, function.task_root, function.opt
        )
        if started.refusal:
            return outcomes.entrypoint_failure(request_id, started.refusal), 0.0
        process = RuntimeProcess(
            launch=started,
            variables=self._variables,
            file_system=self._file_system,
            guard=settings.guard,
            niceness=settings.niceness,
            virtual=settings.virtual,
            memory_size_mb=function.memory_size_mb,
        )
        self._process = process
        self._asked_next = False
        self._phase.meter.begin(process.pid, process.started_ns)
        init_error: Failure | None = None
        while True:
            heard, duration_ms = self._wait(process, limit_ms, starting=True)
            if not isinstance(heard, Heard):
                failure = init_error or self._failure(request_id, heard)
                if process.not_started is not None:
                    failure = outcomes.entrypoint_failure(request_id, process.not_started)
                break
            route = heard.request.route()
            if route is not None and route[0] is Call.NEXT:
                if process.has_exceeded_memory():
                    failure = outcomes.memory_failure(request_id)
                    break
                self._asked_next = True
                return None, duration_ms
            if route is not None and route[0] is Call.INIT_ERROR:
                error_type = heard.request.headers.get(runtime_api.FUNCTION_ERROR_TYPE_HEADER, "Runtime.Unknown")
                init_error = Failure("error", error_type, heard.request.body)
                process.answer(runtime_api.ACCEPTED)
            else:
                self._refuse(process, heard)
        self._drop_process()
        return failure, duration_ms

    def _wait(
        self, process: RuntimeProcess, limit_ms: float, *, starting: bool
    ) -> tuple[Heard | Exited | TimedOut | OutOfMemory, float]:
        """What the process says next within `limit_ms` of this phase, and after how many ms."""
        meter = self._phase.meter
        while True:
            heard = process.wait(time.monotonic_ns() + meter.patience_ns(limit_ms))
            boot_ns = process.boot_cpu_ns if starting else None
            meter.hear(boot_ns, process.take_samples(), process.measuring_thread)
            elapsed_ms = meter.surely_ms() if isinstance(heard, TimedOut) else meter.elapsed_ms(heard.at_ns)
            if elapsed_ms >= limit_ms:
                return TimedOut(), limit_ms
            if not isinstance(heard, TimedOut):
                return heard, elapsed_ms

    def _ready_for_next(self) -> bool:
        """Whether the process is there and waits for an event; False when it ended after its last answer."""
        process = self._process
        if process is None:
            return False
        while not self._asked_next:
            heard = process.wait(time.monotonic_ns() + _NEXT_PATIENCE_NS)
            if not isinstance(heard, Heard):
                return False
            route = heard.request.route()
            if route is not None and route[0] is Call.NEXT:
                self._asked_next = True
            else:
                self._refuse(process, heard)
        return True

    def _exchange(self, request: InvokeRequest) -> tuple[bytes, float, Failure | None, str | None]:
        """Hand the event over and hear the answer: (payload, after how many ms, what failed, FunctionError)."""
        process, limit_ms = self._process, self.function.timeout_ms
        assert process is not None
        meter = self._phase.meter
        process.remaining_ms = lambda: limit_ms - meter.elapsed_ms(time.monotonic_ns())
        left_ms = limit_ms - self._phase.meter.surely_ms()
        process.answer(
            runtime_api.next_response(
                request_id=request.request_id,
                payload=request.payload,
                deadline_ms=int(time.time() * 1000 + left_ms),  # the runtime compares it with the host's clock
                function_arn=request.function_arn,
                trace_id=None if request.trace is None else request.trace.header,
                client_context=request.client_context,
            )
        )
        self._asked_next = False
        while True:
            heard, duration_ms = self._wait(process, limit_ms, starting=False)
            if not isinstance(heard, Heard):
                return b"", duration_ms, self._failure(request.request_id, heard), None
            route = heard.request.route()
            if route is None or route[1] != request.request_id:
                self._refuse(process, heard)
                continue
            if process.has_exceeded_memory():
                return b"", duration_ms, outcomes.memory_failure(request.request_id), None
            if heard.request.oversized:
                # The runtime prints what it is told, and ends: its next invocation begins with init.
                process.answer(runtime_api.too_large_response())
                self._hear_out(process)
                return outcomes.response_too_large(), duration_ms, None, "Unhandled"
            process.answer(runtime_api.ACCEPTED)
            return heard.request.body, duration_ms, None, "Unhandled" if route[0] is Call.ERROR else None

    def _conclude(
        self,
        request: InvokeRequest,
        told: list[tuple[int, str]],
        begun_ms: float,
        duration_ms: float,
        payload: bytes,
        failure: Failure | None,
        function_error: str | None,
    ) -> InvokeOutcome:
        """The outcome, with the rest of the log written. `told` is what the log that it brings begins with.

        recorded (https://github.com/kimkno/capstone-project): the output and INIT_REPORT of inits, and no INIT_START.
        """
        if failure is not None:
            payload, function_error = failure.payload, "Unhandled"
            self._drop_process()
        ran_out = failure is not None and failure.error_type == "Runtime.OutOfMemory"
        memory_mb = self.function.memory_size_mb if ran_out else self._peak_seen_mb()
        init_ms, self._init_duration_ms = self._init_duration_ms, None
        status, error_type = (None, None) if failure is None else (failure.status, failure.error_type)
        traced = request.trace if request.trace is not None and request.trace.sampled else None
        digits = self.function.logging.digits
        duration, init = round(duration_ms, digits), None if init_ms is None else round(init_ms, digits)
        # recorded: the first REPORT of a provisioned environment has an Init Duration that it does not bill
        # (https://stackoverflow.com/questions/60059435); assumed: still so since init is billed everywhere.
        billed_init = 0.0 if self._initialization_type == PROVISIONED else init or 0.0
        report = ReportLine(
            request_id=request.request_id,
            duration_ms=duration,
            billed_duration_ms=math.ceil(round(duration + billed_init, digits)),
            memory_size_mb=self.function.memory_size_mb,
            max_memory_used_mb=memory_mb,
            init_duration_ms=init,
            status=status,
            error_type=error_type,
            xray_trace_id=None if traced is None else traced.trace_id,
            xray_segment_id=None if traced is None else traced.segment_id,
            xray_sampled=None if traced is None else True,
        )
        done = RuntimeDone(
            request.request_id,
            status,
            error_type,
            duration_ms=duration_ms - begun_ms,
            produced_bytes=len(payload) if function_error is None else None,
        )
        events = self._output_events(begun_ms, duration_ms)
        events += self._platform_events(duration_ms, EndLine(request.request_id), done, report)
        self._write_log(events)
        lines = [message if message.endswith("\n") else message + "\n" for _, message in [*told, *events]]
        tail = "".join(lines).encode()[-quotas.LOG_RESULT_MAX_BYTES :]
        return InvokeOutcome(payload, function_error, duration_ms, report, crashed=failure is not None, tail=tail)

    # Small parts -----------------------------------------------------------------------------------------------

    def _refuse(self, process: RuntimeProcess, heard: Heard) -> None:
        route = heard.request.route()
        if route is None:
            process.answer(runtime_api.error_response("404 Not Found", "InvalidRequest", "no such call"))
        else:
            process.answer(
                runtime_api.error_response("400 Bad Request", "InvalidRequestID", "this request is not in progress")
            )

    def _failure(self, request_id: str | None, ended: Exited | TimedOut | OutOfMemory) -> Failure:
        if isinstance(ended, Exited):
            return outcomes.exit_failure(request_id, ended)
        if isinstance(ended, OutOfMemory):
            return outcomes.memory_failure(request_id)
        return outcomes.timeout_failure(request_id, self.function.timeout_ms)

    def _hear_out(self, process: RuntimeProcess) -> None:
        """Let a runtime that was refused its response say so, for as long as that may take."""
        heard = process.wait(time.monotonic_ns() + _NEXT_PATIENCE_NS)
        if isinstance(heard, Heard):
            route = heard.request.route()
            self._asked_next = route is not None and route[0] is Call.NEXT

    def _drop_process(self) -> None:
        if self._process is not None:
            self.peak_memory_mb()
            self._process.kill()
            self._take_lines(self._process)
            self._process = None
            self._asked_next = False

    # The log -----------------------------------------------------------------------------------------------------

    def _init_start(self, phase: str) -> InitStart:
        """documented: of an init in the Invoke phase only the JSON format tells, and says no runtime version."""
        if phase == "invoke":
            return InitStart(initialization_type=self._initialization_type, phase=phase)
        return InitStart(
            self.function.hosted.version,
            self.function.hosted.version_arn,
            self._initialization_type,
            phase,
            self.function.name,
            self.function.version,
            self.environment_id,
            self.function.memory_size_mb * 1024 * 1024,
        )

    def _init_end(self, phase: str, duration_ms: float, failure: Failure | None) -> tuple[PlatformEvent, PlatformEvent]:
        status, error_type = (None, None) if failure is None else (failure.status, failure.error_type)
        return (
            InitRuntimeDone(self._initialization_type, phase, status, error_type),
            InitReport(duration_ms, phase, status, error_type, self._initialization_type),
        )

    def _platform_events(self, after_ms: float, *events: PlatformEvent) -> list[tuple[int, str]]:
        """What the log says of `events`, all of them `after_ms` into this phase."""
        at_ms = self._phase.epoch_ms(after_ms)
        told = [self.function.logging.platform(event, at_ms) for event in events]
        return [(at_ms, message) for message in told if message is not None]

    def _take_lines(self, process: RuntimeProcess) -> None:
        lines, dropped = process.output.take()
        self._unlogged += lines
        if dropped is not None:
            self._dropped = dropped if self._dropped is None else self._dropped + dropped

    def _output_events(self, since_ms: float, until_ms: float) -> list[tuple[int, str]]:
        """What the function has written and the log does not have yet, as of between these times of this phase."""
        if self._process is not None:
            self._process.flush()
            self._take_lines(self._process)
        lines, self._unlogged = self._unlogged, []
        dropped, self._dropped = self._dropped, None
        logging = self.function.logging
        told = [
            (self._phase.epoch_of_line(line.at_ms, since_ms, until_ms), logging.application(line)) for line in lines
        ]
        if dropped is not None:
            at_ms = self._phase.epoch_ms(until_ms)
            told.append((at_ms, logging.dropped(dropped, at_ms)))
        return [(at_ms, message) for at_ms, message in told if message is not None]


class _Phase:
    """An Init or Invoke phase in calendar time: what happened after how many ms of it."""

    def __init__(self, meter: Meter, clock: Clock) -> None:
        self.meter = meter
        self._clock = clock
        self._real_start_ms = time.time() * 1000

    def epoch_ms(self, after_ms: float) -> int:
        return self._clock.epoch_ms(self.meter.start_ms + after_ms)

    def epoch_of_line(self, real_ms: int, since_ms: float, until_ms: float) -> int:
        """A line is stamped with the host's clock: as far into the phase as it was in real time, within bounds."""
        return self.epoch_ms(min(max(real_ms - self._real_start_ms, since_ms), until_ms))
