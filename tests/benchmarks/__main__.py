"""Runs every benchmark in this folder, or those named: `python -m tests.benchmarks load_lateness`.

A benchmark is a module with `main() -> int | None` that prints its figures beside those of a peer measured in the same
run, and returns something other than 0 when it missed what it is meant to reach.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(wanted: list[str]) -> int:
    known = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("__"))
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"error: no benchmark `{unknown[0]}`\nhint: benchmarks: {', '.join(known)}", file=sys.stderr)
        return 2
    worst = 0
    for name in wanted or known:
        run = getattr(importlib.import_module(f"tests.benchmarks.{name}"), "main", None)
        if run is not None:
            print(f"\n== {name}", flush=True)
            worst = max(worst, run() or 0)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
