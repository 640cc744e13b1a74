"""What is deployed: one function for each way to behave, and the answers that each may give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TOKEN = "SOAK_TOKEN"
"""The variable by which every process of a function, and what it starts, is found again on the host."""

_ECHO = """
    def handler(event, context):
        return event["nonce"]
"""


@dataclass(frozen=True, eq=False)
class Kind:
    """One function.

    `error_types`: those its answers may have; None stands for a result, which is the event's nonce.
    `attempts`: how often an asynchronous event is tried, with one retry at most.
    `weight`: how often it is chosen, among the others.
    """

    name: str
    code: str
    error_types: tuple[str | None, ...] = (None,)
    weight: int = 2
    options: dict[str, Any] = field(default_factory=dict)
    reserved: int | None = None
    alias: str | None = None

    @property
    def attempts(self) -> tuple[int, ...]:
        """How many attempts the log may show of one asynchronous event."""
        if self.error_types == (None,):
            return (1,)
        return (1, 2) if None in self.error_types else (2,)


FAST = {"MemorySize": 1769}

KINDS = (
    Kind("well", _ECHO, weight=10, options=FAST),
    Kind(
        "raises",
        """
        def handler(event, context):
            raise ValueError(event["nonce"])
        """,
        ("ValueError",),
        options=FAST,
    ),
    Kind(
        "crashes",
        """
        import os
        def handler(event, context):
            os.kill(os.getpid(), 11)
        """,
        ("Runtime.ExitError",),
        options=FAST,
    ),
    Kind(
        "exits",
        """
        import os
        def handler(event, context):
            print("leaving")
            os._exit(event["number"] % 3)
        """,
        ("Runtime.ExitError",),
        options=FAST,
    ),
    Kind(
        "sleeps-too-long",
        """
        import time
        def handler(event, context):
            time.sleep(60)
        """,
        ("Sandbox.Timedout",),
        weight=1,
        options={**FAST, "Timeout": 1},
    ),
    Kind(
        "spins",
        """
        def handler(event, context):
            while True:
                pass
        """,
        ("Sandbox.Timedout",),
        weight=1,
        options={**FAST, "Timeout": 1},
    ),
    Kind(
        "eats",
        """
        def handler(event, context):
            held = [b"x" * 20_000_000 for _ in range(20)]
        """,
        ("Runtime.OutOfMemory",),
        options={"MemorySize": 128, "Timeout": 60},
    ),
    Kind(
        "leaks-memory",
        """
        held = []
        def handler(event, context):
            held.append(b"x" * 30_000_000)
            return event["nonce"]
        """,
        (None, "Runtime.OutOfMemory"),
        weight=4,
        options={"MemorySize": 128, "Timeout": 60},
    ),
    Kind(
        "leaks-descriptors",
        """
        held = []
        def handler(event, context):
            held.extend(open("/dev/null") for _ in range(300))
            return event["nonce"]
        """,
        (None, "OSError"),
        weight=4,
        options=FAST,
    ),
    Kind(
        "starts-children",
        """
        import subprocess, sys
        def handler(event, context):
            sleep = ["sleep", "86400"]
            subprocess.Popen(sleep)
            subprocess.Popen(sleep, start_new_session=True)
            subprocess.Popen(sleep, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return event["nonce"]
        """,
        options=FAST,
    ),
    Kind(
        "starts-a-daemon",
        """
        import os
        def handler(event, context):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.execv("/bin/sleep", ["sleep", "86400"])
                os._exit(0)
            os.wait()
            return event["nonce"]
        """,
        options=FAST,
    ),
    Kind(
        "leaves-a-child",
        """
        import os, subprocess
        def handler(event, context):
            subprocess.Popen(["sleep", "86400"], start_new_session=True)
            os._exit(1)
        """,
        ("Runtime.ExitError",),
        options=FAST,
    ),
    Kind("fails-to-import", "raise RuntimeError('not today')\n", ("RuntimeError",), weight=1, options=FAST),
    Kind("exits-in-init", "import os\nos._exit(3)\n", ("Runtime.ExitError",), weight=1, options=FAST),
    Kind(
        "prints-much",
        """
        def handler(event, context):
            for line in range(300):
                print(event["nonce"], line, "." * 200)
            return event["nonce"]
        """,
        options=FAST,
    ),
    Kind(
        "one-at-a-time",
        """
        import time
        def handler(event, context):
            time.sleep(0.05)
            return event["nonce"]
        """,
        (None, "TooManyRequestsException"),
        weight=6,
        options=FAST,
        reserved=1,
    ),
    Kind(
        "provisioned",
        """
        import os
        def handler(event, context):
            if event["number"] % 7 == 0:
                os._exit(1)
            return event["nonce"]
        """,
        (None, "Runtime.ExitError"),
        weight=6,
        options=FAST,
        alias="live",
    ),
)

BY_NAME = {kind.name: kind for kind in KINDS}

PRINTED_LINES = 300

BAD = "bad"
"""How the body of a message or record begins that its reader refuses, every time."""

QUEUE_READER = Kind(
    "reads-a-queue",
    """
    import json
    def handler(event, context):
        bodies = [record["body"] for record in event["Records"]]
        print("GOT", json.dumps(bodies))
        bad = [record["messageId"] for record in event["Records"] if record["body"].startswith("bad")]
        return {"batchItemFailures": [{"itemIdentifier": item} for item in bad]}
    """,
    options=FAST,
)

STREAM_READER = Kind(
    "reads-a-stream",
    """
    import json, os
    def handler(event, context):
        bodies = [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
        print("GOT", json.dumps(bodies), flush=True)
        if any(body.startswith("bad") for body in bodies):
            os._exit(1)
    """,
    options=FAST,
)

RECEIVES = 2
"""Of a message that is refused, before it goes to the dead-letter queue."""

READERS = (QUEUE_READER, STREAM_READER)
