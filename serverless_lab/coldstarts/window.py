"""Until when a run's functions may have gone on after the run had ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serverless_lab.project import read_json
from serverless_lab.quotas import FUNCTION_TIMEOUT_MAX_S

if TYPE_CHECKING:
    import pandas as pd

GATEWAY_TIMEOUT = 504


def late_end_ms(run_folder: Path, manifest: Mapping[str, Any], requests: pd.DataFrame | None, now_ms: int) -> int:
    """Until when to look for what the run has caused; 0 where everybody had got an answer when it ended.

    In real time a caller that gives up stops nothing: a host with more inits than CPUs is busy for minutes after the
    last request, and its cold starts belong to the run. So that time ends now, or when the stack's next run begins, or
    when no function can run any longer.
    """
    if manifest.get("clock") != "wall" or requests is None or not _was_given_up(requests):
        return 0
    began_ms = int(manifest["started_at_ms"])
    later = [began for began in _beginnings(run_folder, manifest.get("stack_name")) if began > began_ms]
    ended_ms = int(manifest.get("ended_at_ms") or now_ms)
    return min([now_ms, ended_ms + FUNCTION_TIMEOUT_MAX_S * 1000, *later])


def _was_given_up(requests: pd.DataFrame) -> bool:
    by_caller = requests["error"].astype("str").str.startswith("timeout")
    by_gateway = requests["status_code"].eq(GATEWAY_TIMEOUT).fillna(False)
    return bool((by_caller | by_gateway).any())


def _beginnings(run_folder: Path, stack_name: str | None) -> list[int]:
    """When the runs beside this one began."""
    manifests = (read_json(file) for file in run_folder.parent.glob("*/manifest.json"))
    return [int(found["started_at_ms"]) for found in manifests if found and found.get("stack_name") == stack_name]
