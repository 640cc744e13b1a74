"""The emulator's process: MiniStack, the Lambda plane and the edge behind one loopback port.

It serves on the listening socket that `control` hands to it, until it is told to stop.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import time
import traceback
import uuid
from pathlib import Path
from typing import Any

from serverless_lab import __version__
from serverless_lab.emulator import orphans, runtime_directory
from serverless_lab.emulator.clock import Clock, VirtualClock, WallClock
from serverless_lab.emulator.code import CodeStore
from serverless_lab.emulator.environments import RuntimeSettings
from serverless_lab.emulator.filesystem import Stage
from serverless_lab.emulator.guard import Guard
from serverless_lab.emulator.model import SchedulerOptions
from serverless_lab.emulator.plane import LambdaPlane
from serverless_lab.emulator.process import can_have_private_view
from serverless_lab.emulator.runtimes import Runtimes, own_python
from serverless_lab.emulator.scheduler import Scheduler
from serverless_lab.emulator.speed import Speedometer

VIRTUAL_NICENESS = 10
"""Of environments in virtual time: waiting for a CPU costs them nothing, and the emulator's own loop goes first."""


def serve(
    listener: socket.socket,
    options: SchedulerOptions,
    seed: int | None,
    allowed_origins: list[str],
    clock_name: str = "wall",
    tokens: int | None = None,
) -> None:
    """Serve on `listener`, a listening socket on 127.0.0.1, until SIGTERM, SIGINT or POST /_lab/stop.

    Args:
        clock_name: `virtual` or `wall`.
        tokens: with the virtual clock, how many jobs really execute at once; as many as there are cores by default.
    """
    port = listener.getsockname()[1]

    from serverless_lab.emulator import ministack

    ministack.configure(port)
    work = Path(tempfile.mkdtemp(prefix="emulator-", dir=_work_directory()))
    guard = Guard(work)
    orphans.adopt()
    try:
        _serve(
            listener,
            port,
            work,
            guard,
            options,
            seed,
            allowed_origins,
            clock_name,
            tokens,
        )
    finally:
        guard.close()
        orphans.end_all()
        shutil.rmtree(work, ignore_errors=True)


def _serve(
    listener: socket.socket,
    port: int,
    work: Path,
    guard: Guard,
    options: SchedulerOptions,
    seed: int | None,
    allowed_origins: list[str],
    clock_name: str,
    tokens: int | None,
) -> None:
    import uvicorn

    from serverless_lab.emulator import ministack, ministack_logs
    from serverless_lab.emulator.edge import Edge

    chance = random.Random(seed)
    cores = len(os.sched_getaffinity(0))
    runtime = _runtime_settings(work, guard, virtual=clock_name == "virtual")
    clock: Clock
    if clock_name == "virtual":
        speed = Speedometer(runtime_directory.reference(runtime_directory.prepare(), own_python().path))
        clock = VirtualClock(tokens or cores, speed)
    else:
        clock = WallClock(simultaneous_inits=cores)
    scheduler = Scheduler(options, lambda: f"{chance.getrandbits(128):032x}")
    plane = LambdaPlane(scheduler, clock)
    instance_id = secrets.token_hex(8)
    adapter = ministack.Adapter(
        plane=plane,
        code=CodeStore(work / "code"),
        runtime=runtime,
        clock=clock,
        endpoint_url=f"http://127.0.0.1:{port}",
        new_request_id=lambda: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        account_concurrency=options.account_concurrency,
        seed=chance.getrandbits(64),
    )
    started_at = time.time()

    def status(_: bytes) -> dict[str, Any]:
        return {
            "instance_id": instance_id,
            "version": __version__,
            "pid": os.getpid(),
            "port": port,
            "clock": clock.name,
            "tokens": clock.time.tokens if isinstance(clock, VirtualClock) else None,
            "jobs": clock.counts() if isinstance(clock, VirtualClock) else None,
            "cpu_speed": round(1 / clock.speed.scale(), 3) if isinstance(clock, VirtualClock) else None,
            "strain": clock.strain.to_json() if isinstance(clock, WallClock) else None,
            "started_at_ms": int(started_at * 1000),
            "now_ms": clock.epoch_ms(),
            "private_tmp": runtime.stage.private,
            "runtimes": {name: known.version for name, known in runtime.runtimes.known().items()},
            "idle_lifetime_ms": options.idle_lifetime_ms,
            "account_concurrency": options.account_concurrency,
            "python": ".".join(map(str, sys.version_info[:3])),
            "environments": plane.counts(),
        }

    def memory(_: bytes) -> dict[str, Any]:
        largest: dict[str, int] = {}
        for name, megabytes in plane.memory_mb().values():
            largest[name] = max(largest.get(name, 0), megabytes)
        return {"largest_environment_mb": largest}

    def stop(_: bytes) -> dict[str, Any]:
        # Not by way of the server: it would wait for connections and threads, and there is nothing left to save.
        threading.Timer(0.05, end_now).start()
        return {"stopping": instance_id}

    def end_now() -> None:
        # The guard ends every process that is left, in use or not, and removes the working folder.
        try:
            guard.close()
            orphans.end_all()
        finally:
            os._exit(0)

    def calls(body: bytes) -> dict[str, Any]:
        """What functions called and logged between two instants, epoch ms: see `calls.CallCounter`."""
        asked = json.loads(body)
        since_ms, until_ms = int(asked["since_ms"]), int(asked["until_ms"])
        groups = [str(group) for group in asked.get("log_groups") or ()]
        logged = sum(ministack_logs.ingested_bytes(group, since_ms, until_ms) for group in groups)
        return {**edge.calls.between(since_ms, until_ms), "log_bytes": logged}

    edge = Edge(
        adapter.install(),
        clock,
        {"GET status": status, "GET memory": memory, "POST calls": calls, "POST stop": stop},
        allowed_origins,
        adapter.new_request_id,
    )
    config = uvicorn.Config(
        edge,
        http="httptools",
        loop="uvloop",
        lifespan="on",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=120,
        timeout_graceful_shutdown=1,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])


def _runtime_settings(work: Path, guard: Guard, *, virtual: bool) -> RuntimeSettings:
    own, directory = own_python(), runtime_directory.prepare()
    needed = [work.resolve(), directory.resolve(), own.path]
    # A folder below /tmp would vanish under an environment's own /tmp.
    below_tmp = any(path.is_relative_to("/tmp") for path in needed)
    probe = work / "probe"
    probe.mkdir()
    private = not below_tmp and can_have_private_view(own.path, probe)
    return RuntimeSettings(
        runtimes=Runtimes(
            virtual=virtual,
            environment={**os.environ, **_host_variables()},
            tell=lambda text: print(text, file=sys.stderr, flush=True),
        ),
        work=work,
        stage=Stage(work / "stage", private=private, needed=needed),
        guard=guard,
        niceness=VIRTUAL_NICENESS if virtual else 0,
        virtual=virtual,
    )


def _host_variables() -> dict[str, str]:
    """What `control` says of this host, on standard input."""
    try:
        found = json.loads(sys.stdin.read() or "{}") if not sys.stdin.isatty() else {}
    except (OSError, ValueError):
        return {}
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nothing that starts from here inherits it
    return {str(name): str(value) for name, value in found.items()}


def _work_directory() -> Path:
    folder = runtime_directory.cache_directory() / "work"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(prog="serverless_lab.emulator.server")
    parser.add_argument(
        "--listener",
        type=int,
        required=True,
        help="file descriptor of a listening socket",
    )
    parser.add_argument("--idle-lifetime-ms", type=float)
    parser.add_argument("--account-concurrency", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--allow-origin", action="append", default=[])
    parser.add_argument("--clock", choices=("virtual", "wall"), default="virtual")
    parser.add_argument("--tokens", type=int)
    given = parser.parse_args()
    chosen = {
        "idle_lifetime_ms": given.idle_lifetime_ms,
        "account_concurrency": given.account_concurrency,
    }
    options = SchedulerOptions(**{name: value for name, value in chosen.items() if value is not None})
    try:
        serve(
            socket.socket(fileno=given.listener),
            options,
            given.seed,
            given.allow_origin,
            given.clock,
            given.tokens,
        )
    except KeyboardInterrupt:
        pass
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    # Threads of invocations that were in progress may wait for a time that does not come any more.
    os._exit(0)


if __name__ == "__main__":
    main()
