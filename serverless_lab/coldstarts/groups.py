"""Invocations split by what they have in common: `--by function`, `version`, `memory`, `initialization-type`, `bin`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from serverless_lab.coldstarts.invocations import InitRow
from serverless_lab.coldstarts.statistics import (
    Bins,
    Summary,
    bin_numbers,
    environments_by_bin,
    sample_of,
    summary_of,
)
from serverless_lab.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

FUNCTION = "function"
VERSION = "version"
MEMORY = "memory"
INITIALIZATION_TYPE = "initialization-type"
BIN = "bin"
DIMENSIONS = (FUNCTION, VERSION, MEMORY, INITIALIZATION_TYPE, BIN)

_COLUMN = {
    FUNCTION: "function",
    VERSION: "version",
    MEMORY: "memory_size_mb",
    INITIALIZATION_TYPE: "initialization_type",
    BIN: "bin",
}


def checked_dimensions(words: Sequence[str]) -> tuple[str, ...]:
    """The dimensions named, each once, in the order of `DIMENSIONS`.

    Raises:
        BadInput: a word that is none.
    """
    for word in words:
        if word not in DIMENSIONS:
            raise BadInput(f"--by `{word}` is nothing to group by", hint=f"one of: {', '.join(DIMENSIONS)}")
    return tuple(name for name in DIMENSIONS if name in words)


def summarise_groups(
    frame: pd.DataFrame,
    inits: Sequence[InitRow] | None,
    bins: Bins | None,
    by: Sequence[str],
    *,
    without_rate: Collection[str] = (),
) -> tuple[Summary, ...]:
    """One summary per combination of values that occurs, in the order of the values.

    What the log does not say makes a group of its own, with None for its value. `environments` is None where an init
    cannot be given to a group: an environment that was never used says nothing of its version or memory.

    Args:
        frame: columns of `frame.COLUMNS`.
        by: some of `DIMENSIONS`.
        without_rate: functions whose log leaves invocations out.
    """
    if not by:
        return ()
    found = frame.assign(bin=bin_numbers(frame, bins) if bins is not None else None)
    columns = [_COLUMN[name] for name in by]
    environments = _environments(found, inits, bins, by)
    summaries = []
    for values, part in found.groupby(columns, dropna=False, sort=True):
        key = tuple(_plain(value) for value in values)
        value_of = dict(zip(by, key, strict=True))
        at = value_of.get(BIN)
        summaries.append(
            summary_of(
                sample_of(part, None if environments is None else environments[key]),
                function=value_of.get(FUNCTION),
                version=value_of.get(VERSION),
                initialization_type=value_of.get(INITIALIZATION_TYPE),
                bin_start_ms=None if at is None or bins is None else bins.start_ms(at),
                has_rate=not (set(part["function"]) & set(without_rate)),
            )
        )
    return tuple(summaries)


def _environments(
    frame: pd.DataFrame, inits: Sequence[InitRow] | None, bins: Bins | None, by: Sequence[str]
) -> Counter[tuple[Any, ...]] | None:
    """Environments initialised per group; None where one of them belongs to nobody knows which."""
    if inits is None or (BIN in by and bins is None):
        return None
    used: dict[str, dict[str, Any]] = {}
    if VERSION in by or MEMORY in by:
        seen = frame.dropna(subset=["environment_id"]).drop_duplicates("environment_id")
        used = {
            str(environment): {VERSION: _plain(version), MEMORY: _plain(memory)}
            for environment, version, memory in zip(
                seen["environment_id"], seen["version"], seen["memory_size_mb"], strict=True
            )
        }
    counts: Counter[tuple[Any, ...]] = Counter()
    for init in inits:
        values: dict[str, Any] = {FUNCTION: init.function, INITIALIZATION_TYPE: init.initialization_type}
        if VERSION in by or MEMORY in by:
            if init.environment_id not in used:
                return None
            values |= used[init.environment_id]
        if BIN in by and bins is not None:
            in_bins = environments_by_bin([init], bins) or []
            if 1 not in in_bins:
                return None
            values[BIN] = in_bins.index(1)
        counts[tuple(values[name] for name in by)] += 1
    return counts


def _plain(value: Any) -> Any:
    """A group's value as str or int; None for one that is missing."""
    if value is None or value != value or str(value) == "<NA>":
        return None
    return value if isinstance(value, str) else int(value)
