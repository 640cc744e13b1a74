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


def tell_cpu_time(pipe: int) -> None:
    """Say how much CPU it took to come this far, in a frame of the log pipe.

    The way here is the same in every environment, so it tells how fast this host's CPU is just now.
    """
    import time

    frame_type, length = 0x1AB0C0DE, 0
    frame = frame_type.to_bytes(4, "big") + length.to_bytes(4, "big") + time.process_time_ns().to_bytes(8, "big")
    os.write(pipe, frame)


def main() -> None:
    import json

    settings = json.loads(sys.argv[1])
    if settings["tmp"] is not None:
        private_tmp(settings["tmp"])
    if settings.get("probe"):
        return
    user_paths = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [*user_paths, *settings["sys_path"], *sys.path]
    sys.argv = ["bootstrap", settings["handler"]]
    from awslambdaric.__main__ import main as run

    tell_cpu_time(int(os.environ["_LAMBDA_TELEMETRY_LOG_FD"]))
    if settings.get("stop_before_handler"):
        return
    run(sys.argv)


if __name__ == "__main__":
    main()
