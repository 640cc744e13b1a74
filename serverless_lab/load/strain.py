"""Whether a run in real time was held up by its own host: then its durations measure the laptop.

An embedded emulator on the wall clock counts how long its functions waited for a CPU. Of anything else on this machine
the kernel's pressure record says for how long somebody did; of another machine nothing here tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from serverless_lab.pressure import waited_us

FUNCTIONS, HOST = "functions", "host"

WARN_FROM_SHARE = {FUNCTIONS: 0.05, HOST: 0.50}
"""assumed: functions that waited for a twentieth of their time have durations that are off by about that much. On a
host with few cores somebody waits now and then in any run, so there it takes more."""

NOTES = {
    FUNCTIONS: "This run was in real time, and its functions waited for a CPU of this host for {share} of their time: "
    "durations, cold starts and timeouts measure this machine. In virtual time they do not: `lab up --clock virtual`.",
    HOST: "This run was in real time, and for {share} of it something on this host waited for a CPU: durations, "
    "cold starts and timeouts measure this machine. In virtual time they do not: `lab deploy --target local`.",
}


@dataclass(frozen=True)
class Strain:
    """`share` (0 to 1) of the functions' time, or of the run, in which there was no CPU for who wanted one."""

    of: str
    share: float


def watch(status: Callable[[], Mapping[str, Any]], *, same_host: bool) -> Callable[[], Strain | None]:
    """Begin to watch; what is returned ends it and says how it was, or None where nothing tells.

    Args:
        status: what an embedded emulator says of itself; empty where there is none.
        same_host: whether what is loaded runs on this machine.
    """
    before, before_us, began = status().get("strain"), waited_us() if same_host else None, time.monotonic()

    def end() -> Strain | None:
        after = status().get("strain")
        if before is not None and after is not None:
            executed_ms = after["executed_ms"] - before["executed_ms"]
            waited_ms = after["waited_ms"] - before["waited_ms"]
            return Strain(FUNCTIONS, min(waited_ms / executed_ms, 1.0)) if executed_ms > 0 else None
        after_us = waited_us()
        if before_us is None or after_us is None:
            return None
        return Strain(HOST, min((after_us - before_us) / 1e6 / max(time.monotonic() - began, 1e-3), 1.0))

    return end


def note_of(manifest: Mapping[str, Any]) -> str | None:
    """The warning that a run deserves, from its manifest."""
    strain = manifest.get("strain")
    if not strain or manifest.get("clock") == "virtual" or strain["share"] < WARN_FROM_SHARE[strain["of"]]:
        return None
    return NOTES[strain["of"]].format(share=f"{strain['share'] * 100:.0f} %")
