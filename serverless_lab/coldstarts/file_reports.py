"""Log files, folders and standard input -> the report.

The general reader keeps every invocation. Inputs of some size go to the digest, where it serves their layout: it keeps
8 bytes of an invocation, and tells everything but what needs the single ones.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from serverless_lab.coldstarts import notes
from serverless_lab.coldstarts.groups import BIN, FUNCTION, INITIALIZATION_TYPE, MEMORY, VERSION
from serverless_lab.coldstarts.report import FROM_FILES, ColdStartReport, FilesRead, checked_bins, make_report
from serverless_lab.coldstarts.statistics import Bins, Sample, Summary, bin_width_ms, merged, summary_of

if TYPE_CHECKING:
    from serverless_lab.coldstarts.digest import Digest, Key
    from serverless_lab.coldstarts.files import FileReading, Unreadable
    from serverless_lab.coldstarts.frame import SavedInvocations

LARGE_BYTES = 32 * 1024 * 1024
"""Above this the digest is asked. Below it the general reader answers within seconds and tells more."""

DIGEST_BIN_MS = 300_000
"""The width of the digest's bins where none was asked for: they are put together to what is worth looking at."""

UNREADABLE_SHOWN = 20
"""How many places that could not be read are shown; all are counted."""

STDIN: Literal["-"] = "-"


def report_files(
    paths: Sequence[Path],
    *,
    format: str | None = None,
    function: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    bin_ms: int | None = None,
    by: Sequence[str] = (),
    with_rows: bool = False,
) -> ColdStartReport:
    """The report of the invocations in log files.

    Args:
        paths: files, folders (walked) and `-` for standard input.
        format: one of `files.FORMATS`, where a file is not to be judged by its content.
        function: the function's name where the files do not say it.
        since_ms, until_ms: only invocations that began from the one instant on and before the other, epoch ms. What is
            outside is read all the same: it tells the kinds of what is inside.
        bin_ms: width of a time bin; None chooses a round one.
        by: what the report's groups are by: some of `groups.DIMENSIONS`.
        with_rows: keep the single invocations, however large the input.

    Raises:
        ReportError: a path that is not there or may not be read.
        BadInput: no such format, or too many bins.
    """
    from serverless_lab.coldstarts.files import read_paths

    whole = since_ms is None and until_ms is None and format is None and not with_rows
    if whole and INITIALIZATION_TYPE not in by and _bytes(paths) >= LARGE_BYTES:
        from serverless_lab.coldstarts.digest import digest_paths

        digest = digest_paths(list(paths), bin_ms=bin_ms or DIGEST_BIN_MS, function=function)
        if digest is not None:
            return from_digest(digest, paths, bin_ms=bin_ms, by=by)
    words: list[Path | Literal["-"]] = [STDIN if str(path) == STDIN else path for path in paths]
    reading = read_paths(words, format=format, function=function)
    return from_reading(reading, paths, since_ms=since_ms, until_ms=until_ms, bin_ms=bin_ms, by=by)


def from_reading(
    reading: FileReading,
    paths: Sequence[Path],
    *,
    since_ms: int | None = None,
    until_ms: int | None = None,
    bin_ms: int | None = None,
    by: Sequence[str] = (),
) -> ColdStartReport:
    """The report of what the general reader read."""
    from serverless_lab.coldstarts.frame import SavedInvocations

    saved = SavedInvocations.from_invocations(reading.invocations, read_at_ms=int(time.time() * 1000))
    whole = saved.frame
    said = []
    if since_ms is not None or until_ms is not None:
        saved = within(saved, since_ms, until_ms)
        said.append(f"{len(saved.frame):,} of {len(whole):,} invocations began in the time asked for.")
    files = _files(paths, reading.formats, reading.unreadable, len(reading.unreadable))
    files = replace(files, since_ms=since_ms, until_ms=until_ms)
    return make_report(
        {},
        saved,
        None,
        source=FROM_FILES,
        bin_ms=bin_ms,
        by=by,
        notes=said,
        files=files,
        unreadable=files.unreadable_count,
        whole=whole,
    )


def from_digest(
    digest: Digest, paths: Sequence[Path], *, bin_ms: int | None = None, by: Sequence[str] = ()
) -> ColdStartReport:
    """The report of what a digest of large inputs holds."""
    samples = {name: digest.sample(function=name) for name in digest.functions}
    bins, parts = _wide_bins(digest, bin_ms)
    by_bin: dict[str, list[Sample]] = {
        name: [
            merged(digest.sample(function=name, bin_start_ms=start_ms) for start_ms in starts_ms) for starts_ms in parts
        ]
        for name in digest.functions
    }
    function_bins: list[Summary] = []
    for name, of_bins in by_bin.items():
        for at, sample in enumerate(of_bins):
            if bins is not None and (sample.invocations or sample.environments):
                function_bins.append(
                    summary_of(
                        sample,
                        function=name,
                        bin_start_ms=bins.start_ms(at),
                        has_rate=name not in digest.failures_only,
                    )
                )
    is_complete = not digest.failures_only
    total = summary_of(merged(samples.values()), has_rate=is_complete)
    files = replace(_files(paths, digest.formats, digest.unreadable, digest.unreadable_count), fast=True)
    unfinished = sum(digest.unfinished.values())
    said = [
        "Read as a digest, which keeps no single invocation: nothing is told of environments over time, of idle "
        "lifetimes and of billing rules. --parquet FILE makes lab read them one by one.",
        *notes.kind_notes(total, of_files=True),
        *notes.count_notes(digest, restores=sum(sum(counts.values()) for counts in digest.restores.values())),
    ]
    if unfinished:
        said.append(notes.unfinished_note(unfinished, total.invocations))
    said += notes.file_notes(files, total)
    said += notes.unnamed_notes(digest.functions)
    return ColdStartReport(
        run_id="",
        scenario="",
        target="",
        stack_name="",
        region="",
        clock="",
        started_at_ms=None,
        ended_at_ms=None,
        source=FROM_FILES,
        read_at_ms=int(time.time() * 1000),
        bin_ms=None if bins is None else bins.width_ms,
        total=total,
        functions=tuple(
            summary_of(sample, function=name, has_rate=name not in digest.failures_only)
            for name, sample in samples.items()
        ),
        bins=()
        if bins is None
        else tuple(
            summary_of(
                merged(of_bins[at] for of_bins in by_bin.values()), bin_start_ms=bins.start_ms(at), has_rate=is_complete
            )
            for at in range(bins.count)
        ),
        function_bins=tuple(function_bins),
        client=None,
        unfinished=unfinished,
        unreadable=files.unreadable_count,
        notes=tuple(said),
        by=tuple(by),
        groups=_digest_groups(digest, bins, parts, by),
        first_ms=None if bins is None else bins.start_ms(0),
        last_ms=None if bins is None else bins.start_ms(bins.count),
        files=files,
        tells_unfinished=digest.has_starts,
        failures_only=digest.failures_only,
        samples=samples,
    )


def _wide_bins(digest: Digest, bin_ms: int | None) -> tuple[Bins | None, list[list[int]]]:
    """The report's bins, and for each the beginnings (epoch ms) of the digest's bins that make it."""
    narrow = digest.time_bins()
    if narrow is None:
        return None, []
    width = bin_ms or bin_width_ms(narrow.count * narrow.width_ms)
    width = -(-width // narrow.width_ms) * narrow.width_ms
    origin = narrow.origin_ms // width * width
    count = (narrow.start_ms(narrow.count - 1) - origin) // width + 1
    wide = checked_bins(Bins(origin, width, count))
    parts: list[list[int]] = [[] for _ in range(count)]
    for at in range(narrow.count):
        parts[(narrow.start_ms(at) - origin) // width].append(narrow.start_ms(at))
    return wide, parts


def _digest_groups(
    digest: Digest, bins: Bins | None, parts: Sequence[Sequence[int]], by: Sequence[str]
) -> tuple[Summary, ...]:
    """One summary per combination of values that occurs, as `groups.summarise_groups` makes them."""
    if not by:
        return ()
    keys: dict[tuple[str | None, str | None, int | None], list[Key]] = {}
    for key in sorted(digest.groups, key=lambda key: key.sort_key()):
        group = (
            key.function if FUNCTION in by else None,
            key.version if VERSION in by else None,
            key.memory_size_mb if MEMORY in by else None,
        )
        keys.setdefault(group, []).append(key)
    found = []
    for (function, version, _), chosen in keys.items():
        # Only a function's whole log says how many environments it had.
        only_functions = not {VERSION, MEMORY} & set(by)
        slices: list[tuple[int | None, Sequence[int]]] = [(None, ())]
        if BIN in by:
            slices = [] if bins is None else [(bins.start_ms(at), starts) for at, starts in enumerate(parts)]
        for start_ms, starts_ms in slices:
            samples = [
                digest.sample(function=function, bin_start_ms=narrow_ms)
                if only_functions
                else digest.sample(keys=chosen, bin_start_ms=narrow_ms)
                for narrow_ms in (starts_ms if BIN in by else (None,))
            ]
            sample = merged(samples)
            if sample.invocations:
                found.append(
                    summary_of(
                        sample,
                        function=function,
                        version=version,
                        bin_start_ms=start_ms,
                        has_rate=not {key.function for key in chosen} & set(digest.failures_only),
                    )
                )
    return tuple(found)


def within(saved: SavedInvocations, since_ms: int | None, until_ms: int | None) -> SavedInvocations:
    """What began in a time; what has no time did not."""
    from serverless_lab.coldstarts.statistics import began_ms

    def inside(instant: float | None) -> bool:
        return (
            instant is not None
            and (since_ms is None or instant >= since_ms)
            and (until_ms is None or instant < until_ms)
        )

    began = began_ms(saved.frame)
    keep = began.notna()
    if since_ms is not None:
        keep &= (began >= since_ms).fillna(False)
    if until_ms is not None:
        keep &= (began < until_ms).fillna(False)
    return replace(
        saved,
        frame=saved.frame[keep.astype(bool)].reset_index(drop=True),
        inits=None if saved.inits is None else tuple(init for init in saved.inits if inside(init.timestamp)),
        restores=tuple(init for init in saved.restores if inside(init.timestamp)),
        unfinished=tuple(open_ for open_ in saved.unfinished if inside(open_.start_timestamp)),
    )


def _files(
    paths: Sequence[Path], formats: Mapping[str, str], unreadable: Sequence[Unreadable], count: int
) -> FilesRead:
    return FilesRead(
        paths=tuple(str(path) for path in paths),
        formats=dict(sorted(Counter(formats.values()).items())),
        unreadable=tuple(unreadable[:UNREADABLE_SHOWN]),
        unreadable_count=count,
        unreadable_files=sum(place.line == 0 for place in unreadable),
    )


def _bytes(paths: Sequence[Path]) -> int:
    """How much there is to read; standard input does not say."""
    found = 0
    for path in paths:
        if str(path) != STDIN:
            files = path.rglob("*") if path.is_dir() else [path]
            found += sum(file.stat().st_size for file in files if file.is_file())
    return found
