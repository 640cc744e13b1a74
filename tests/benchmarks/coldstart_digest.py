"""Large logs to a table of functions and five minutes: the digest beside DuckDB and mawk, in the same run.

    python -m tests.benchmarks.coldstart_digest [--reports 10000000] [--cache FOLDER]

Text as an export to S3 has it, then the same as gzip and as JSON lines of FilterLogEvents. For each function and bin:
invocations, REPORT lines with an init, p50, p90 and p99 (nearest rank) and the maximum of Duration; in a second figure
the kinds too. Every table is compared with one that reads line by line, the kinds with what the log was made from.
DuckDB runs several queries on a smaller log first, and the fastest of them on the large one. On JSON lines it parses
with `read_json` into the two columns that it needs, or reads lines and parses those that contain a REPORT; the digest
shows of every line that it is whole JSON, and has a figure with kinds there too. mawk does not read JSON or gzip.

Each measurement has a process of its own, which says its time without its imports. The most memory that it and its
workers had together, pages that they share counted once, is looked at fifty times a second in one more run, whose time
does not count. DuckDB comes with the `dev` extra, mawk with `apt-get install mawk`. About 4.3 GB of disk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPORTS = 10_000_000
OTHERS_REPORTS = 2_000_000
"""How many REPORT lines the packed log and the JSON lines have."""

BIN_MS = 300_000
QUANTILES = (50, 90, 99)
DUCKDB_RATIO, MAWK_RATIO, OTHERS_RATIO = 1.5, 3.0, 1.0
PEAK_MB, BYTES_A_REPORT = 500.0, 16.0
GROWTH_SHARE = 0.5
"""The log that memory is compared with has this share of the REPORT lines."""

Table = dict[str, list[float]]
"""By `function bin`: invocations, with init, p50, p90, p99, max."""


@dataclass(frozen=True)
class Measured:
    wall_s: float
    cpu_s: float
    table: Table
    kinds: dict[str, int] | None = None
    what: str = ""
    peak_mb: float = 0.0


# --- in a process of its own -----------------------------------------------------------------------------------------


def row_of(durations: Sequence[float], with_init: int) -> list[float]:
    """A row of the table; `durations` ascend."""
    count = len(durations)
    ranks = [-(-count * share // 100) - 1 for share in QUANTILES]
    return [count, with_init, *(float(durations[rank]) for rank in ranks), float(durations[-1])]


def digest(folder: Path, *, kinds: bool) -> tuple[Table, dict[str, int] | None]:
    from serverless_lab.coldstarts.digest import digest_paths
    from serverless_lab.coldstarts.digest.model import COUNTS
    from serverless_lab.coldstarts.invocations import KINDS

    found = digest_paths([folder], bin_ms=BIN_MS, kinds=kinds)
    if found is None:
        return general(folder), None
    table: Table = {}
    told: Counter[str] = Counter()
    for key, group in found.groups.items():
        starts_ms = [found.bin_start_ms(number) for number in group.bins.tolist()]
        columns = dict(zip(COUNTS, group.counts.T.tolist(), strict=True))
        for at, durations in enumerate(group.durations.by_bin(group.bins)):
            name = f"{key.function} {starts_ms[at]}"
            assert name not in table, "a function has one version and one memory size in this log"
            table[name] = row_of(durations, columns["with_init"][at])
        if kinds:
            for kind in KINDS:
                told.update({f"{key.function} {ms} {kind}": n for ms, n in zip(starts_ms, columns[kind], strict=True)})
    return table, dict(+told) if kinds else None


def general(folder: Path) -> Table:
    """The same by the general reader, which keeps every invocation."""
    from serverless_lab.coldstarts.files import read_paths

    groups: defaultdict[str, list[tuple[float, bool]]] = defaultdict(list)
    for row in read_paths([folder]).invocations.rows:
        key = f"{row.function} {int((row.timestamp or 0) // BIN_MS) * BIN_MS}"
        groups[key].append((row.duration_ms, row.carries_init))
    return _rows_of(groups)


def _rows_of(groups: dict[str, list[tuple[float, bool]]]) -> Table:
    return {
        key: row_of(sorted(duration for duration, _ in rows), sum(has_init for _, has_init in rows))
        for key, rows in groups.items()
    }


def duckdb_query(folder: Path, name: str) -> Table:
    import duckdb

    # A log stream's name has brackets, which are a pattern in DuckDB's file names.
    files = [str(file).replace("[", "[[]") for file in _files(folder)]
    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order = false")
    rows = connection.execute(QUERIES[name], {"files": files}).fetchall()
    return {f"{function} {_epoch_ms(begin)}": [*found[:2], *found[2], found[3]] for function, begin, *found in rows}


def _epoch_ms(begin: str | int) -> int:
    """Of `2025-01-01T00:0` and whether the next digit is above 4; or of a number of five minutes."""
    if isinstance(begin, int):
        return begin * BIN_MS
    text = f"{begin[:15]}{5 if begin[15:] == '1' else 0}"
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


_LINES = (
    "read_csv($files, header = false, auto_detect = false, delim = '\x01', quote = '', escape = '',"
    " strict_mode = false, columns = {'line': 'VARCHAR'}, filename = true)"
)
_EVENTS = (
    "read_json($files, format = 'newline_delimited', filename = true, maximum_object_size = 1048576,"
    " columns = {'timestamp': 'BIGINT', 'message': 'VARCHAR'})"
)
_AGGREGATE = """
    SELECT string_split(f, '/')[{function}] AS function, b, count(*), count(i),
        quantile_disc(d, [0.5, 0.9, 0.99]), max(d)
    FROM (SELECT f, b, p[2][11:-4]::DOUBLE AS d, CASE WHEN p[6] LIKE 'Init Duration: %' THEN 1 END AS i FROM ({rows}))
    GROUP BY ALL
"""
_BIN_OF_LINE = "line[1:15] || (line[16:16] >= '5')::INT"


def _text_query(where: str, bin_: str = _BIN_OF_LINE) -> str:
    rows = f"SELECT filename AS f, {bin_} AS b, string_split(line, chr(9)) AS p FROM {_LINES} WHERE {where}"
    return _AGGREGATE.format(function=-4, rows=rows)


_LIKE = "line LIKE '________________________ REPORT RequestId: %'"
QUERIES = {
    "text, LIKE": _text_query(_LIKE),
    "text, substring": _text_query("line[25:43] = ' REPORT RequestId: '"),
    "text, LIKE, times as times": _text_query(_LIKE, "(epoch_ms(line[1:24]::TIMESTAMP) // 300000)::BIGINT"),
    "text, contains first": _text_query(f"contains(line, ' REPORT RequestId: ') AND {_LIKE}"),
    "text, regular expression": f"""
        SELECT string_split(f, '/')[-4], b, count(*), count(i), quantile_disc(d, [0.5, 0.9, 0.99]), max(d) FROM (
            SELECT f, b, p.d::DOUBLE AS d, nullif(p.i, '') AS i FROM (
                SELECT filename AS f, {_BIN_OF_LINE} AS b, regexp_extract(
                    line, '\tDuration: ([0-9.]+) ms\t.*Max Memory Used: [0-9]+ MB(\tInit Duration: )?', ['d', 'i']) AS p
                FROM {_LINES} WHERE {_LIKE}))
        GROUP BY ALL""",
    "text, columns by tab": f"""
        SELECT string_split(filename, '/')[-4], {_BIN_OF_LINE} AS b, count(*),
            count(CASE WHEN c5 LIKE 'Init Duration: %' THEN 1 END),
            quantile_disc(c1[11:-4]::DOUBLE, [0.5, 0.9, 0.99]), max(c1[11:-4]::DOUBLE)
        FROM (SELECT * RENAME (c0 AS line) FROM read_csv($files, header = false, auto_detect = false, delim = '\t',
            quote = '', escape = '', strict_mode = false, null_padding = true, ignore_errors = true, filename = true,
            columns = {{{", ".join(f"'c{at}': 'VARCHAR'" for at in range(9))}}})) WHERE {_LIKE}
        GROUP BY ALL""",
    "JSON, columns": _AGGREGATE.format(
        function=-3,
        rows=f"SELECT filename AS f, timestamp // 300000 AS b, string_split(message, chr(9)) AS p FROM {_EVENTS}"
        " WHERE message LIKE 'REPORT RequestId: %'",
    ),
    "JSON, lines": _AGGREGATE.format(
        function=-3,
        rows="SELECT filename AS f, json_extract_string(line, '$.timestamp')::BIGINT // 300000 AS b,"
        f" string_split(json_extract_string(line, '$.message'), chr(9)) AS p FROM {_LINES}"
        ' WHERE contains(line, \'"message":"REPORT RequestId: \')',
    ),
}

_MAWK_EXTRACT = r"""
substr($0, 25, 19) == " REPORT RequestId: " {
    printf "%s%d %010.2f %d\n", substr($0, 1, 15), (substr($0, 16, 1) > 4), substr($2, 11), ($6 ~ /^Init/)
}"""
_MAWK_RANKS = r"""
function told(    k) {
    if (n) printf "%s %d %d %.2f %.2f %.2f %.2f\n", key, n, inits, a[rank(50)], a[rank(90)], a[rank(99)], a[n]
}
function rank(share) { return int((n * share + 99) / 100) }
$1 != key { told(); key = $1; n = 0; inits = 0 }
{ a[++n] = $2; inits += $3 }
END { told() }"""


def mawk(folder: Path) -> Table:
    """A function after the other in each of two processes: extract, sort, take ranks."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        script = Path(out) / "one.sh"
        script.write_text(
            "export LC_ALL=C\n"
            f"find \"$1\" -type f -print0 | xargs -0 mawk -F '\\t' '{_MAWK_EXTRACT}' | sort -S 512M"
            f' | mawk \'{_MAWK_RANKS}\' > "{out}/$(basename "$1").rows"\n'
        )
        names = "\0".join(str(path) for path in sorted(folder.iterdir()))
        subprocess.run(["xargs", "-0", "-n1", "-P2", "sh", str(script)], input=names, text=True, check=True)
        table: Table = {}
        for path in Path(out).glob("*.rows"):
            for line in path.read_text().splitlines():
                begin, *values = line.split()
                table[f"{path.stem} {_epoch_ms(begin)}"] = [float(value) for value in values]
        return table


_REPORT = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d):\d\d\.\d{3}Z REPORT RequestId: [0-9a-f-]{36}\tDuration: (\d+\.\d\d) ms\t"
    rb"Billed Duration: \d+ ms\tMemory Size: \d+ MB\tMax Memory Used: \d+ MB(\tInit Duration: )?"
)


def reference(folder: Path) -> Table:
    """Line by line."""
    with ProcessPoolExecutor() as pool:
        tables = pool.map(_reference_of_function, [str(path) for path in sorted(folder.iterdir())])
        return {key: row for table in tables for key, row in table.items()}


def _reference_of_function(folder: str) -> Table:
    by_minute: dict[bytes, list[tuple[float, bool]]] = {}
    for path in _files(Path(folder)):
        with path.open("rb") as file:
            for line in file:
                if found := _REPORT.match(line):
                    by_minute.setdefault(found[1], []).append((float(found[2]), found[3] is not None))
    groups: defaultdict[str, list[tuple[float, bool]]] = defaultdict(list)
    for minute, rows in by_minute.items():
        ms = datetime.fromisoformat(minute.decode()).replace(tzinfo=UTC).timestamp() * 1000
        groups[f"{Path(folder).name} {int(ms // BIN_MS) * BIN_MS}"] += rows
    return _rows_of(groups)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _measure_here(what: str, folder: Path, out: Path) -> None:
    """Do one thing, and write what it took and told into a file."""
    kinds: dict[str, int] | None = None
    if what.startswith("digest"):
        import serverless_lab.coldstarts.digest.run  # imports are no part of a measurement
        import serverless_lab.coldstarts.statistics  # noqa: F401
    elif what in QUERIES:
        import duckdb  # noqa: F401
    before, began = os.times(), time.perf_counter()
    if what.startswith("digest"):
        table, kinds = digest(folder, kinds=what == "digest, kinds")
    elif what in QUERIES:
        table = duckdb_query(folder, what)
    else:
        table = mawk(folder) if what == "mawk" else reference(folder)
    wall_s, after = time.perf_counter() - began, os.times()
    cpu_s = sum(getattr(after, name) - getattr(before, name) for name in _CPU_TIMES)
    out.write_text(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "table": table, "kinds": kinds}))


_CPU_TIMES = ("user", "system", "children_user", "children_system")


# --- the run ---------------------------------------------------------------------------------------------------------


class Run:
    """Measurements, their rows as they are printed, and what was missed."""

    def __init__(self, scratch: Path) -> None:
        self._out = scratch / "measured.json"
        self.missed: list[str] = []

    def measure(self, what: str, folder: Path, *, times: int = 2, memory: bool = True) -> Measured:
        """The quickest of some runs."""
        command = [sys.executable, "-m", "tests.benchmarks.coldstart_digest", "--measure", what]
        command += ["--folder", str(folder), "--out", str(self._out)]
        found = []
        for _ in range(times):
            subprocess.run(command, check=True)
            found.append(Measured(**json.loads(self._out.read_text()), what=what))
        best = min(found, key=lambda measured: measured.wall_s)
        return replace(best, peak_mb=_peak_mb(command)) if memory else best

    def show(self, label: str, found: Measured, reports: int, than: Measured | None = None) -> None:
        ratio = f"{found.wall_s / than.wall_s:8.2f}x{found.cpu_s / than.cpu_s:7.2f}x" if than else ""
        speed = reports / found.wall_s / 1e6
        peak = f"{found.peak_mb:8.0f}" if found.peak_mb else f"{'':8}"
        print(f"  {label:44}{found.wall_s:8.2f}{found.cpu_s:8.2f}{speed:8.2f}{peak}{ratio}", flush=True)

    def wants(self, holds: bool, sentence: str) -> None:
        if not holds:
            self.missed.append(sentence)

    def ratio(self, ours: Measured, theirs: Measured, least: float, label: str) -> None:
        ratio = theirs.wall_s / ours.wall_s
        self.wants(ratio >= least, f"{label}: {ratio:.2f} times as fast, wanted {least:g}")

    def same(self, found: Measured, expected: Table, label: str) -> None:
        wrong = [key for key in {*found.table, *expected} if not _alike(found.table.get(key), expected.get(key))]
        self.wants(not wrong, f"{label}: {len(wrong)} rows of {len(expected)} are wrong, such as {sorted(wrong)[:1]}")


def _peak_mb(command: Sequence[str]) -> float:
    """The most memory that a command and its children had at a time, MB."""
    import psutil

    peak = 0
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            total = 0
            with contextlib.suppress(psutil.Error):
                tree = [psutil.Process(process.pid)]
                for each in [*tree, *tree[0].children(recursive=True)]:
                    total += each.memory_full_info().pss
            peak = max(peak, total)
            time.sleep(0.02)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return peak / 2**20


def _alike(row: list[float] | None, other: list[float] | None) -> bool:
    return row is not None and other is not None and all(map(_close, row, other)) and len(row) == len(other)


def _close(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=1e-9)


HEADING = f"{'':46}{'wall s':>8}{'CPU s':>8}{'M/s':>8}{'MB':>8}{'wall':>9}{'CPU':>8}"


def run_all(reports: int, cache: Path, run: Run, *, text_only: bool = False) -> None:
    from tests.benchmarks import coldstart_logs as logs

    has_duckdb, has_mawk = _has_duckdb(), shutil.which("mawk") is not None
    others = min(OTHERS_REPORTS, reports)
    small = logs.write_log(cache / "text-small", min(others, round(reports * GROWTH_SHARE)))
    large = logs.write_log(cache / "text", reports)
    print(f"{large.reports:,} REPORT lines of {large.lines:,}, {large.bytes / 1e9:.2f} GB")
    print(HEADING)
    expected = run.measure("reference", large.folder, times=1, memory=False)
    run.show("line by line in Python (the reference)", expected, large.reports)
    plain = run.measure("digest", large.folder)
    run.show("digest", plain, large.reports)
    run.same(plain, expected.table, "digest")
    told = run.measure("digest, kinds", large.folder)
    run.show("digest with kinds", told, large.reports)
    right = {f"{function} {ms} {kind}": count for (function, ms, kind), count in large.kinds.items()}
    run.wants(told.kinds == right, "digest with kinds: not the kinds that the log was made from")
    run.wants(sum(row[0] for row in told.table.values()) == large.reports, "digest with kinds: invocations are missing")
    if has_duckdb:
        names = [name for name in QUERIES if name.startswith("text")]
        best = _fastest(run, names, small.folder)
        theirs = run.measure(best, large.folder)
        run.show(f"DuckDB ({best})", theirs, large.reports, plain)
        run.same(theirs, expected.table, "DuckDB")
        run.ratio(plain, theirs, DUCKDB_RATIO, "digest, than DuckDB")
        longer = theirs.wall_s / told.wall_s
        print(f"  DuckDB's table, which has no kinds, took {longer:.2f} times as long as the digest with kinds")
    if has_mawk:
        theirs = run.measure("mawk", large.folder, times=1)
        run.show("mawk, sort, mawk in 2 processes", theirs, large.reports, plain)
        run.same(theirs, expected.table, "mawk")
        run.ratio(plain, theirs, MAWK_RATIO, "digest, than mawk")
    for what, found in (("digest", plain), ("digest, kinds", told)):
        before = run.measure(what, small.folder, times=1)
        grown = (found.peak_mb - before.peak_mb) * 2**20 / max(1, large.reports - small.reports)
        print(f"  {what}: {found.peak_mb:.0f} MB at most, {grown:.1f} bytes more for each further REPORT line")
        run.wants(found.peak_mb < PEAK_MB, f"{what}: {found.peak_mb:.0f} MB, wanted less than {PEAK_MB:.0f}")
        run.wants(grown <= BYTES_A_REPORT, f"{what}: {grown:.1f} bytes a REPORT line, wanted {BYTES_A_REPORT:g}")
    shutil.rmtree(large.folder)
    if text_only:
        return
    for label, first_word, write in _containers(logs, cache, others):
        found, folder = write()
        print(f"\n{others:,} REPORT lines, {label}")
        print(HEADING)
        plain = run.measure("digest", folder)
        run.show("digest", plain, found.reports)
        told = run.measure("digest, kinds", folder, times=1)
        run.show("digest with kinds", told, found.reports)
        right = {f"{function} {ms} {kind}": count for (function, ms, kind), count in found.kinds.items()}
        run.wants(told.kinds == right, f"{label}, with kinds: not the kinds that the log was made from")
        if has_duckdb:
            best = _fastest(run, [name for name in QUERIES if name.startswith(first_word)], folder)
            theirs = run.measure(best, folder, times=1)
            run.show(f"DuckDB ({best})", theirs, found.reports, plain)
            run.same(theirs, plain.table, f"{label}: DuckDB beside the digest")
            run.ratio(plain, theirs, OTHERS_RATIO, f"{label}, than DuckDB")
        shutil.rmtree(folder)


def _containers(logs: Any, cache: Path, reports: int) -> Iterator[tuple[str, str, Callable[[], tuple[Any, Path]]]]:
    def packed() -> tuple[Any, Path]:
        log = logs.write_log(cache / "gzip", reports, packed=True)
        return log, log.folder

    def json_lines() -> tuple[Any, Path]:
        log = logs.write_log(cache / "text-for-json", reports)
        logs.write_json_lines(log, cache / "json")
        shutil.rmtree(log.folder)
        return log, cache / "json"

    yield "text in gzip", "text", packed
    yield "JSON lines of FilterLogEvents", "JSON", json_lines


def _fastest(run: Run, names: Sequence[str], folder: Path) -> str:
    return min(names, key=lambda name: run.measure(name, folder, times=1, memory=False).wall_s)


def _has_duckdb() -> bool:
    try:
        import duckdb  # noqa: F401
    except ImportError:
        print("DuckDB is not installed: pip install -e '.[dev]'. Its rows are left out.")
        return False
    return True


def main(words: Sequence[str] = ()) -> int:
    """0 when every table is right and every bound is held."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.coldstart_digest", description=__doc__)
    parser.add_argument("--reports", type=int, default=REPORTS, help="REPORT lines of the large log")
    parser.add_argument("--cache", type=Path, help="folder for the logs; else a temporary one")
    parser.add_argument("--text-only", action="store_true", help="leave out gzip and JSON lines")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.measure:
        _measure_here(options.measure, options.folder, options.out)
        return 0
    if shutil.which("mawk") is None:
        print("mawk is not installed: apt-get install mawk. Its row is left out.")
    with tempfile.TemporaryDirectory(prefix="coldstart-digest-", dir=options.cache) as folder:
        needs = options.reports * 600 + 3 * OTHERS_REPORTS * 500
        free = shutil.disk_usage(folder).free
        if free < needs:
            print(f"error: {folder} has {free / 1e9:.1f} GB free, about {needs / 1e9:.1f} GB are needed")
            return 1
        run = Run(Path(folder))
        run_all(options.reports, Path(folder), run, text_only=options.text_only)
    for sentence in run.missed:
        print("missed:", sentence)
    return 1 if run.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
