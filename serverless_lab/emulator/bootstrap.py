"""The first code of an execution environment: makes the process look like Lambda's, then hands over to awslambdaric.

Run as `python -I -S -B bootstrap.py '<json>'`, so that nothing of the host's site-packages, user settings or PYTHON*
variables comes in. The JSON has `sys_path` (task root, layers, runtime directory), `handler`, and `view`: what it is
to see of the file system, or null. Imports stay few, since this is part of every Init phase. With a `program`, the
process becomes that instead: a Node runtime, or the bootstrap of a function that brings its own.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def take_view(view: "dict[str, Any]") -> None:
    """See the file system as `filesystem.FileSystem.view` says, in a mount namespace of this process and its children.

    Where that takes privileges the user lacks, in a user namespace as well. Raises OSError where the host allows
    neither.
    """
    import ctypes

    new_namespace, new_user = 0x00020000, 0x10000000
    bind, private, recursive, read_only = 0x1000, 0x40000, 0x4000, 0x1 | 0x20
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int) -> None:
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def mount(source: str, target: str, flags: int, kind: bytes | None = None, options: bytes | None = None) -> None:
        check(libc.mount(os.fsencode(source), os.fsencode(target), kind, flags, options))

    user, group = os.getuid(), os.getgid()
    if view["join"]:  # a process before this one has made it, and its /tmp is kept
        for descriptor in view["join"]:
            check(libc.setns(descriptor, 0))
            os.close(descriptor)
    else:
        if user == 0:
            check(libc.unshare(new_namespace))
        else:
            check(libc.unshare(new_namespace | new_user))
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"{user} {user} 1"),
                ("gid_map", f"{group} {group} 1"),
            ):
                with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - pathlib would cost every cold start
                    file.write(text)
        mount("none", "/", recursive | private)
        for source, target, protect in view["binds"]:
            try:
                mount(source, target, bind | recursive)
            except OSError:
                if protect or target == "/var":
                    raise  # the rest is the host's, and may be unreadable
            if protect:
                try:  # noqa: SIM105 - contextlib would cost every cold start
                    mount("none", target, bind | read_only)
                except OSError:
                    pass  # a host that mounts with more restrictions keeps them
        mount("tmpfs", "/tmp", 0, b"tmpfs", b"mode=1777,size=%dm" % view["tmp_mb"])
    os.chdir(view["directory"])


def execute(program: list[str], pipe: int, asking: int) -> None:
    """Become `program`. It is measured from here on: what came before is no part of its Init phase."""
    variables = {name: value for name, value in os.environ.items() if name not in ("_LAMBDA_TELEMETRY_LOG_FD",)}
    variables.pop("LC_CTYPE", None)  # Python's own doing
    if program[0] == "node":
        variables["_LAMBDA_TELEMETRY_LOG_FD"], variables["_LAB_ASKING_FD"] = str(pipe), str(asking)
    else:
        os.set_inheritable(pipe, False)
        os.set_inheritable(asking, False)
    tell(pipe, STARTING_FRAME, 0)
    os.read(asking, 1)
    try:
        os.execve(program[1], program[1:], variables)
    except OSError as error:
        tell(pipe, NOT_STARTED_FRAME, error.errno or 0)
        os._exit(1)


BOOT_FRAME, SAMPLE_FRAME = 0x1AB0C0DE, 0x1AB05A4D
VIEW_FRAME, STARTING_FRAME, NOT_STARTED_FRAME = 0x1AB0F5F5, 0x1AB0571A, 0x1AB0DEAD
SAMPLE_PAUSE_S = 0.02
BUSY_NS = 5_000_000


def tell(pipe: int, frame_type: int, number: int, payload: bytes = b"") -> None:
    """Write a frame to the log pipe: type and length, 4 bytes each, then 8 bytes of a number, then the payload."""
    header = frame_type.to_bytes(4, "big") + len(payload).to_bytes(4, "big") + number.to_bytes(8, "big")
    try:  # noqa: SIM105 - contextlib would cost every cold start
        os.write(pipe, header + payload)
    except OSError:
        pass  # a handler may close what is not its own


def measure_speed(pipe: int, code: bytes) -> None:
    """Tell how fast this host's CPU is while the handler computes, and stop while the environment is idle.

    A thread does the same small pieces of work every 20 ms in which the handler used the CPU for 5 ms, and tells what
    CPU time they took; its own is not counted as the handler's. It does them on the core where the main thread was
    last: another one that has nothing to do is slower, having slept, and tells nothing of the handler's caches. After
    each invocation they are done once more.
    `code` is compiled code of any kind.
    """
    import _thread
    import marshal
    import time

    from awslambdaric.lambda_runtime_client import LambdaRuntimeClient

    cpu_ns, load, sleep = time.thread_time_ns, marshal.loads, time.sleep
    process_ns = time.process_time_ns
    running = _thread.allocate_lock()

    def loop() -> None:
        numbers: dict[int, str] = {}
        for number in range(600):
            numbers[number % 50] = str(number)

    def sample(thread: int) -> None:
        begun = cpu_ns()
        loop()
        looped = cpu_ns()
        load(code)
        loaded = cpu_ns()
        loop()
        times = (looped - begun, loaded - looped, cpu_ns() - loaded)
        tell(pipe, SAMPLE_FRAME, thread, b"".join(taken.to_bytes(4, "big") for taken in times))

    main_thread = f"/proc/self/task/{_thread.get_native_id()}/stat"

    def go_where_the_handler_is() -> None:
        try:
            with open(main_thread, "rb") as stat:  # noqa: PTH123 - as below
                os.sched_setaffinity(0, (int(stat.read().rpartition(b")")[2].split()[36]),))
        except (OSError, ValueError, IndexError):
            pass  # it stays where it is: the sample is a little worse

    def sample_while_running() -> None:
        thread, before = _thread.get_native_id(), process_ns()
        tell(pipe, SAMPLE_FRAME, thread)
        while True:
            sleep(SAMPLE_PAUSE_S)
            with running:
                if process_ns() - before >= BUSY_NS:
                    go_where_the_handler_is()
                    sample(thread)
                before = process_ns()

    invoked = False
    wait_next_invocation = LambdaRuntimeClient.wait_next_invocation

    def wait_next(client: LambdaRuntimeClient) -> object:
        nonlocal invoked
        if invoked:
            sample(0)
        invoked = True
        with running:
            return wait_next_invocation(client)

    LambdaRuntimeClient.wait_next_invocation = wait_next
    _thread.start_new_thread(sample_while_running, ())


def ask_remaining_time(descriptor: int) -> None:
    """Have the context's get_remaining_time_in_millis ask the emulator, whose time is not the host's."""
    import _thread
    import struct

    from awslambdaric.lambda_context import LambdaContext

    one_asks = _thread.allocate_lock()

    def get_remaining_time_in_millis(context: LambdaContext) -> int:
        with one_asks:
            os.write(descriptor, b"?")
            return max(0, int(struct.unpack(">d", os.read(descriptor, 8))[0]))

    LambdaContext.get_remaining_time_in_millis = get_remaining_time_in_millis


def main() -> None:
    import json
    import time

    settings = json.loads(sys.argv[1])
    if settings["view"] is not None:
        take_view(settings["view"])
    if settings.get("probe"):
        return
    if settings["view"] is not None:
        tell(int(os.environ["_LAMBDA_TELEMETRY_LOG_FD"]), VIEW_FRAME, 0)
    if settings.get("program"):
        execute(settings["program"], int(os.environ["_LAMBDA_TELEMETRY_LOG_FD"]), settings["asking"])
    user_paths = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [*user_paths, *settings["sys_path"], *sys.path]
    sys.argv = ["bootstrap", settings["handler"]]
    from awslambdaric import bootstrap as client
    from awslambdaric.__main__ import main as run

    if settings.get("virtual"):
        pipe = int(os.environ["_LAMBDA_TELEMETRY_LOG_FD"])
        tell(pipe, BOOT_FRAME, time.process_time_ns())
        with open(client.__spec__.cached, "rb") as compiled:  # noqa: PTH123 - pathlib would cost every cold start
            measure_speed(pipe, compiled.read()[16:])
        if settings.get("asking") is not None:
            ask_remaining_time(settings["asking"])
    if settings.get("reference"):
        import boto3

        boto3.client("dynamodb", region_name="us-east-1")
        return
    run(sys.argv)


if __name__ == "__main__":
    main()
