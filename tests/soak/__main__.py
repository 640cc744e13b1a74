"""`python -m tests.soak --seconds 900`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.soak.functions import KINDS
from tests.soak.plan import Size
from tests.soak.run import soak


def main(minutes: float = 15.0, seed: int | None = None) -> int:
    seed = int(time.time()) if seed is None else seed
    print(f"soak: {minutes:g} minutes, seed {seed}", flush=True)
    made = soak(minutes * 60, seed, Size(), lambda line: print(line, flush=True))
    print(
        f"soak: {len(made.seen)} rounds, {made.answered} calls answered, {made.attempts} invocations in the log;"
        f" first {made.seen[0].memory_mb:.0f} MB, last {made.seen[-1].memory_mb:.0f} MB",
    )
    for kind in KINDS:
        told = {error_type or "result": made.outcomes[kind.name, error_type] for error_type in kind.error_types}
        print(f"  {kind.name:18}" + ", ".join(f"{count} x {what}" for what, count in told.items()))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=900, help="of real time, at most (900)")
    parser.add_argument("--seed", type=int, help="of what is sent; chosen by the time when left away")
    given = parser.parse_args()
    sys.exit(main(given.seconds / 60, given.seed))
