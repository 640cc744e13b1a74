"""The first code of an execution environment: makes the process look like Lambda's, then hands over to awslambdaric.

Run as `python -I -S -B bootstrap.py '<json>'`, so that nothing of the host's site-packages, user settings or PYTHON*
variables comes in. The JSON has `sys_path` (task root, layers, runtime directory), `handler`, and `tmp`: the folder
that becomes this environment's own /tmp, or null. Imports stay few, since this is part of every Init phase.
"""

import os
import sys


def private_tmp(folder: str) -> None:
    """Make `folder` this process's /tmp, for it and its children only.

    In a mount namespace of its own, and where that takes privileges the user lacks, in a user namespace as well.
    Raises OSError where the host allows neither.
    """
    import ctypes

    new_namespace, new_user = 0x00020000, 0x10000000
    bind, private, recursive = 0x1000, 0x40000, 0x4000
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int) -> None:
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    user, group = os.getuid(), os.getgid()
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
    check(libc.mount(b"none", b"/", None, recursive | private, None))
    check(libc.mount(os.fsencode(folder), b"/tmp", None, bind, None))


BOOT_FRAME, SAMPLE_FRAME = 0x1AB0C0DE, 0x1AB05A4D
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
    if settings["tmp"] is not None:
        private_tmp(settings["tmp"])
    if settings.get("probe"):
        return
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
