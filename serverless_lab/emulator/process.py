"""One runtime process and what it is heard through: its Runtime API connection, its output, its end.

A blocking listener of its own per process, on loopback, read by whichever thread carries the invocation: no event loop
lies between the runtime's answer and the measurement. The kernel's receive time is taken where it gives one, so that
being woken late does not count as the function's time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serverless_lab.emulator import orphans
from serverless_lab.emulator.filesystem import FileSystem, Stage
from serverless_lab.emulator.launch import Launch
from serverless_lab.emulator.memory import MemoryWatch, restrain
from serverless_lab.emulator.output import (
    BOOT_FRAME,
    NOT_STARTED_FRAME,
    SAMPLE_FRAME,
    STARTING_FRAME,
    VIEW_FRAME,
    Output,
)
from serverless_lab.emulator.runtime_api import CONTINUE, RequestParser, RuntimeRequest
from serverless_lab.emulator.speed import Sample

_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@qq")
SAMPLE = struct.Struct(">III")
_READS_AT_ONCE = 64
"""Of a pipe, 64 KB each: more than it holds, so that a process which writes for ever holds up nobody."""
_START_PATIENCE_S = 30

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
ISOLATED = ("-I", "-S", "-B", "-X", "utf8")

# As Go's fork/exec says them.
_GO_ERRORS = {
    errno.ENOENT: "no such file or directory",
    errno.EACCES: "permission denied",
    errno.ENOEXEC: "exec format error",
}


@dataclass(frozen=True)
class Heard:
    """A request of the runtime, and when it reached this host, in ns of `time.monotonic_ns`."""

    request: RuntimeRequest
    at_ns: int


@dataclass(frozen=True)
class Exited:
    """The process is gone: `status` as in `subprocess.Popen.returncode` (negative is a signal)."""

    status: int
    at_ns: int

    def reason(self) -> str:
        """In AWS's words: `exit status 127`, `signal: killed`; empty when it exited with 0."""
        if self.status < 0:
            return f"signal: {_SIGNAL_NAMES.get(-self.status, str(-self.status))}"
        return f"exit status {self.status}" if self.status else ""


class TimedOut:
    """The deadline passed first."""


@dataclass(frozen=True)
class OutOfMemory:
    """It uses more memory than it may, and has been stopped (not ended yet)."""

    at_ns: int


# As the Go runtime prints them, which is what Lambda's log shows.
_SIGNAL_NAMES: dict[int, str] = {
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGTERM: "terminated",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGILL: "illegal instruction",
    signal.SIGINT: "interrupt",
    signal.SIGHUP: "hangup",
    signal.SIGPIPE: "broken pipe",
}


class GroupGuard(Protocol):
    """Told of every process group and the address its Runtime API has, so that nothing of it outlives the emulator."""

    def add(self, group: int, address: str) -> None: ...

    def remove(self, group: int) -> None: ...


class RuntimeProcess:
    """A process that speaks the Runtime API, started by the constructor.

    Args:
        launch: what is started.
        variables: its whole environment; AWS_LAMBDA_RUNTIME_API is added.
        file_system: what it sees of the file system.
        guard: told of its process group.
        niceness: added to the emulator's own.
        virtual: it is measured in virtual time, so it tells how fast the CPU is, and asks for its remaining time.
        memory_size_mb: how much memory it may use, its children included.
    """

    def __init__(
        self,
        *,
        launch: Launch,
        variables: Mapping[str, str],
        file_system: FileSystem,
        guard: GroupGuard,
        niceness: int = 0,
        virtual: bool = False,
        memory_size_mb: int,
    ) -> None:
        self._guard = guard
        self.output = Output(self._take_frame)
        """What it wrote; whoever reads takes it out."""
        self._launch = launch
        self._file_system = file_system
        self.not_started: str | None = None
        """Why the program could not be started, as the Go runtime says it."""
        self._starting = False
        self.boot_cpu_ns: int | None = None
        """CPU time from its start until the runtime client was loaded, when it has told."""
        self.samples: list[Sample] = []
        """What it told of the CPU's speed; whoever reads takes them out."""
        self.measuring_thread: int | None = None
        """The thread of it that measures the speed and is no part of the function."""
        self.remaining_ms: Callable[[], float] = lambda: 0.0
        """What it is told when the function asks for its remaining time."""
        self._connections: dict[int, tuple[socket.socket, RequestParser]] = {}
        self._answer_to: socket.socket | None = None
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as its:
            # Where one of these fails (no more file descriptors, no memory), nothing of the others is left.
            self._listener = ours.enter_context(socket.socket())
            self._listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._listener.bind(("127.0.0.1", 0))
            self._listener.listen(8)
            self._listener.setblocking(False)
            self._address = f"127.0.0.1:{self._listener.getsockname()[1]}"
            self._asked, asking = socket.socketpair()
            ours.callback(self._asked.close)
            its.callback(asking.close)
            self._asked.setblocking(False)
            settings = {
                "sys_path": launch.sys_path,
                "handler": launch.handler,
                "program": launch.program,
                "view": file_system.view(),
                "virtual": virtual,
                "asking": asking.fileno(),
            }
            self._output_fd, output_write = _pipe(ours, its)
            self._frames_fd, frames_write = _pipe(ours, its)
            self.started_ns: int | None = time.monotonic_ns()
            """When it came into being; None for a program that another process became: it counts from then on."""
            self._process = subprocess.Popen(
                [str(launch.interpreter), *ISOLATED, str(BOOTSTRAP), json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                stdout=output_write,
                stderr=output_write,
                pass_fds=(frames_write, asking.fileno(), *file_system.descriptors()),
                env={
                    **variables,
                    orphans.ADDRESS_VARIABLE: self._address,
                    "_LAMBDA_TELEMETRY_LOG_FD": str(frames_write),
                },
                cwd=file_system.task_root,
                start_new_session=True,
            )
            ours.callback(_end, self._process)
            self._pid_fd = os.pidfd_open(self._process.pid)
            ours.pop_all()
        self.pid = self._process.pid
        orphans.begin(self.pid)
        guard.add(self.pid, self._address)
        if niceness:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self.pid, niceness)
        restrain(self.pid, memory_size_mb)
        self.memory = MemoryWatch(self.pid, memory_size_mb, time.monotonic_ns())
        self._poll = select.poll()
        watched = (self._output_fd, self._frames_fd, self._pid_fd, self._listener.fileno(), self._asked.fileno())
        for fd in watched:
            self._poll.register(fd, select.POLLIN)
        self._open = True
        if launch.program is not None:
            self._let_it_become_the_program()

    def _let_it_become_the_program(self) -> None:
        deadline = time.monotonic() + _START_PATIENCE_S
        watched = select.poll()
        for fd in (self._frames_fd, self._pid_fd):
            watched.register(fd, select.POLLIN)
        while not self._starting and time.monotonic() < deadline:
            ready = [fd for fd, _ in watched.poll(1000)]
            self._read_frames()
            if self._pid_fd in ready:
                return  # `wait` will tell
        self.started_ns = None
        with contextlib.suppress(OSError):
            self._asked.send(b"!")

    def wait(self, deadline_ns: int) -> Heard | Exited | TimedOut | OutOfMemory:
        """The next request of the runtime, its end, or the passing of `deadline_ns` (of `time.monotonic_ns`).

        Meanwhile its output is read, so that a function that prints much is not held up, and its memory is watched.
        """
        while True:
            now_ns = time.monotonic_ns()
            if now_ns >= deadline_ns:
                return TimedOut()
            if now_ns >= self.memory.due_ns and self.memory.look():
                return self._stop_out_of_memory()
            left_ms = (min(deadline_ns, self.memory.due_ns) - now_ns) / 1e6
            ended = False
            for fd, _ in self._poll.poll(max(left_ms, 0) + 0.5):
                if fd == self._output_fd:
                    self._read_output()
                elif fd == self._frames_fd:
                    self._read_frames()
                elif fd == self._pid_fd:
                    ended = True
                elif fd == self._asked.fileno():
                    self._tell_remaining_time()
                elif fd == self._listener.fileno():
                    self._accept()
                elif (heard := self._read_request(fd)) is not None:
                    self.drain()
                    return heard
            if ended and not self._connections_readable():
                self.drain()
                return Exited(self._process.wait(), time.monotonic_ns())

    def answer(self, data: bytes) -> None:
        """Send `data` as the answer to the request heard last. A process that is gone is noticed by `wait`."""
        connection = self._answer_to
        if connection is None:
            return
        try:
            connection.setblocking(True)
            connection.settimeout(30)
            connection.sendall(data)
        except OSError:
            self._close(connection)
        else:
            connection.setblocking(False)

    def take_samples(self) -> list[Sample]:
        samples, self.samples = self.samples, []
        return samples

    def drain(self) -> None:
        """Read what it has written so far into `output`."""
        self._read_output()
        self._read_frames()

    def flush(self) -> None:
        """Take a last line that has no end as a line."""
        self.drain()
        self.output.end_line()

    def has_exceeded_memory(self) -> bool:
        """Whether it has used more memory than it may, if only for a moment; then it has been stopped."""
        if not self.memory.settle():
            return False
        self._stop_out_of_memory()
        return True

    def _stop_out_of_memory(self) -> OutOfMemory:
        # Stopped first: how long it ran is read from the process while it is there.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGSTOP)
        self.drain()
        return OutOfMemory(time.monotonic_ns())

    def kill(self) -> None:
        """End its whole process group at once and let go of everything; a second call does nothing.

        What has left the group for a session of its own is ended too.
        """
        if not self._open:
            return
        self._open = False
        descendants = orphans.descendants(self.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in descendants:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        orphans.end(self.pid, self._address, descendants)
        self._guard.remove(self.pid)
        self.flush()
        for connection, _ in list(self._connections.values()):
            connection.close()
        self._connections.clear()
        self._listener.close()
        self._asked.close()
        for fd in (self._output_fd, self._frames_fd, self._pid_fd):
            os.close(fd)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[connection.fileno()] = (connection, RequestParser())
            self._poll.register(connection.fileno(), select.POLLIN)

    def _read_request(self, fd: int) -> Heard | None:
        if fd not in self._connections:
            return None
        connection, parser = self._connections[fd]
        at_ns = time.monotonic_ns()
        while True:
            try:
                data, ancillary, _, _ = connection.recvmsg(1 << 18, 64)
            except BlockingIOError:
                return None
            except OSError:
                data = b""
                ancillary = []
            if not data:
                self._close(connection)
                return None
            at_ns = _received_ns(ancillary)
            try:
                request = parser.feed(data)
            except (ValueError, IndexError):
                self._close(connection)  # not HTTP: whatever this is, it is no runtime
                return None
            if request is not None:
                self._answer_to = connection
                return Heard(request, at_ns)
            if parser.wants_continue:
                parser.wants_continue = False
                connection.send(CONTINUE)

    def _connections_readable(self) -> bool:
        """Whether there may still be something to hear from a process that has ended."""
        pending = [(fd, flags) for fd, flags in self._poll.poll(0) if flags & select.POLLIN]
        return any(fd in self._connections or fd == self._listener.fileno() for fd, _ in pending)

    def _close(self, connection: socket.socket) -> None:
        fd = connection.fileno()
        if self._connections.pop(fd, None) is not None:
            self._poll.unregister(fd)
        connection.close()
        if self._answer_to is connection:
            self._answer_to = None

    def _read_output(self) -> None:
        self._read(self._output_fd, self.output.write)

    def _read_frames(self) -> None:
        self._read(self._frames_fd, self.output.write_frames)

    def _read(self, fd: int, take: Callable[[bytes], None]) -> None:
        for _ in range(_READS_AT_ONCE):
            try:
                chunk = os.read(fd, 1 << 16)
            except BlockingIOError:
                return
            if not chunk:
                # A function may close its stdout and go on: a pipe at its end would end every wait at once.
                with contextlib.suppress(KeyError):
                    self._poll.unregister(fd)
                return
            take(chunk)

    def _take_frame(self, frame_type: int, number: int, payload: bytes) -> None:
        if frame_type == BOOT_FRAME:
            scaling = self._launch.scaling
            self.boot_cpu_ns = self.boot_cpu_ns or (number if scaling is None else int(number * scaling.boot))
        elif frame_type == SAMPLE_FRAME:
            self.measuring_thread = number or self.measuring_thread
            self.samples += map(self._sample, SAMPLE.iter_unpack(payload))
        elif frame_type == VIEW_FRAME:
            self._file_system.keep(self.pid)
        elif frame_type == STARTING_FRAME:
            self._starting = True
        elif frame_type == NOT_STARTED_FRAME and self._launch.program is not None:
            self.not_started = f"fork/exec {self._launch.program[1]}: {_GO_ERRORS.get(number, os.strerror(number))}"

    def _sample(self, taken: tuple[int, int, int]) -> Sample:
        """A sample as lab's own interpreter would have taken it."""
        scaling = self._launch.scaling
        if scaling is None:
            return Sample(*taken)
        return Sample(*(max(1, int(ns * factor)) for ns, factor in zip(taken, scaling.sample, strict=True)))

    def _tell_remaining_time(self) -> None:
        try:
            questions = self._asked.recv(64)
        except BlockingIOError:
            return
        except OSError:
            questions = b""
        if not questions:
            self._poll.unregister(self._asked.fileno())  # nobody asks any more
            return
        with contextlib.suppress(OSError):  # it has ended, or reads no answers
            self._asked.send(struct.pack(">d", self.remaining_ms()) * len(questions))


def _pipe(ours: contextlib.ExitStack, its: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe from the process to us; each end is closed with its own stack."""
    read, write = os.pipe()
    ours.callback(os.close, read)
    its.callback(os.close, write)
    os.set_blocking(read, False)
    return read, write


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _received_ns(ancillary: list[tuple[int, int, bytes]]) -> int:
    """When the kernel received the data, on the monotonic clock; now, where it does not say or says nonsense."""
    now_ns = time.monotonic_ns()
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = map(int, _TIMESPEC.unpack_from(data))
            waited = time.time_ns() - (seconds * 1_000_000_000 + nanoseconds)
            if 0 <= waited < 10_000_000_000:
                return now_ns - waited
    return now_ns


def can_have_private_view(interpreter: Path, folder: Path) -> bool:
    """Whether this host lets a process have a /tmp of its own (Linux mount namespaces).

    Args:
        folder: an empty one, for the attempt.
    """
    if sys.platform != "linux":
        return False
    stage = Stage(folder / "stage", private=True, needed=(interpreter,))
    code = folder / "code"
    code.mkdir()
    view = FileSystem(stage, folder / "home", 512, task_root=code, opt=None, runtime=None).view()
    settings = json.dumps({"view": view, "probe": True})
    command = [str(interpreter), "-I", "-S", "-B", str(BOOTSTRAP), settings]
    return subprocess.run(command, capture_output=True, env={}, check=False).returncode == 0
