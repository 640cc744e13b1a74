"""How fast requests to CloudWatch Logs follow each other. One Pace is shared by all threads that read an account."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from serverless_lab.errors import TargetError
from serverless_lab.targets.clients import THROTTLED_CODES

LATER_CODES = THROTTLED_CODES | {"LimitExceededException"}
"""Refusals that mean "later"; the last is StartQuery's, when too many queries run at once."""

WAIT_FIRST_MS = 500
WAIT_MAX_MS = 20_000
PATIENCE_MS = 300_000
"""How long one request is repeated before it counts as refused."""

_SLOWER, _FASTER = 0.7, 1.05
_SLOWEST_PER_SECOND = 0.2


@dataclass
class Pace:
    """Requests at most `per_second` (None: as fast as they are answered), and slower for a while after a refusal.

    botocore repeats a throttled request by itself, a few times within seconds and each thread for itself; what gets
    here is an account that is busy for longer. Then all threads wait, and go on more slowly.

    Args:
        now_ms, sleep_ms, draw: the time source, the way to wait, and a number from 0 to 1 by chance.
    """

    per_second: float | None = None
    now_ms: Callable[[], float] = lambda: time.monotonic() * 1000
    sleep_ms: Callable[[float], None] = lambda duration_ms: time.sleep(duration_ms / 1000)
    draw: Callable[[], float] = random.random
    calls: int = 0
    throttled: int = 0
    _rate: float | None = None
    _next_ms: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def call(self, operation: Callable[..., dict[str, Any]], **request: Any) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            TargetError: throttled for longer than `PATIENCE_MS`.
            ClientError, BotoCoreError: any other refusal, and no answer.
        """
        from botocore.exceptions import ClientError

        began_ms = self.now_ms()
        refusals = 0
        while True:
            self._wait()
            try:
                answer = operation(**request)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in LATER_CODES:
                    raise
                waited_ms = self.now_ms() - began_ms
                if waited_ms >= PATIENCE_MS:
                    raise TargetError(
                        f"CloudWatch Logs has refused a request for {waited_ms / 1000:.0f} s: {error}",
                        hint="others read the account's logs too: repeat the command later",
                    ) from error
                self._refused(refusals)
                refusals += 1
                continue
            if refusals == 0:
                self._answered()
            return answer

    def _wait(self) -> None:
        with self._lock:
            now_ms = self.now_ms()
            at_ms = max(now_ms, self._next_ms)
            rate = self._rate if self._rate is not None else self.per_second
            self._next_ms = at_ms + (0.0 if rate is None else 1000 / rate)
            self.calls += 1
        if at_ms > now_ms:
            self.sleep_ms(at_ms - now_ms)

    def _refused(self, before: int) -> None:
        """Nobody asks for a while: twice as long after every refusal, and by chance, so that programs do not meet."""
        with self._lock:
            self.throttled += 1
            wait_ms = min(WAIT_MAX_MS, WAIT_FIRST_MS * 2.0**before) * (0.5 + self.draw() / 2)
            self._next_ms = max(self._next_ms, self.now_ms() + wait_ms)
            if self.per_second is not None:
                self._rate = max(_SLOWEST_PER_SECOND, (self._rate or self.per_second) * _SLOWER)

    def _answered(self) -> None:
        with self._lock:
            if self._rate is not None and self.per_second is not None:
                self._rate = min(self.per_second, self._rate * _FASTER)
