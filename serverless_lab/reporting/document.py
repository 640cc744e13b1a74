"""The cold-start report as one HTML page: everything in one file, nothing asked of the network, no script that runs.

`html_document` makes the text, page.py its frame. `sections_of` says what is on the page, from top to bottom.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from serverless_lab import __version__
from serverless_lab.reporting import words
from serverless_lab.reporting.markup import Html, clean, element
from serverless_lab.reporting.page import CELL_MAX, whole_page
from serverless_lab.reporting.sections import Bullets, Facts, Part, Section, Sentence, Table
from serverless_lab.reporting.words import ABSENT, Cells

if TYPE_CHECKING:
    import pandas as pd

    from serverless_lab.coldstarts.judgement import Judgement
    from serverless_lab.coldstarts.report import ColdStartReport

DATA_ID = "report"
"""The id of the block that holds the report's JSON."""

LINES_MAX = 100

DATA_MAX_BYTES = 500_000
"""The most that the JSON takes of the page, which must be under 2 MB in all."""

# What is left out of the embedded JSON first when it is too large, by key; the page says so.
_LEAST_MISSED = ("distributions", "groups", "bins", "functions", "notes", "baseline", "gates", "failures", "files")


def html_document(
    report: ColdStartReport,
    judgement: Judgement | None = None,
    *,
    manifest: Mapping[str, Any] | None = None,
    requests: pd.DataFrame | None = None,
    extra: Sequence[Section] = (),
) -> str:
    """The page.

    Args:
        judgement: what the report was held against.
        manifest: of the run; None for log files.
        requests: the run's requests; None where there is no client's side.
        extra: sections of others, such as costs; they stand between the tables and the notes.
    """
    sections = sections_of(report, judgement, manifest=manifest or {}, requests=requests, extra=extra)
    data, left_out = embedded(report.to_json(judgement))
    title = f"Cold starts: {report.run_id or ', '.join(_file_names(report)) or 'log files'}"
    footer = [f"Made by serverless-lab {__version__}. All intervals are 95 % intervals; times are in UTC. "]
    footer.append("The report's JSON is in this page, in the element with the id “report”.")
    if left_out:
        footer.append(f" Too large for this page, and left out of it: {', '.join(left_out)}; --json prints everything.")
    return whole_page(
        title=title,
        headline=_headline(report),
        context=words.context(report),
        tiles=_tiles(report),
        sections=sections,
        footer=footer,
        data=data,
        data_id=DATA_ID,
    )


def sections_of(
    report: ColdStartReport,
    judgement: Judgement | None = None,
    *,
    manifest: Mapping[str, Any],
    requests: pd.DataFrame | None = None,
    extra: Sequence[Section] = (),
) -> list[Section]:
    """What is on the page below the headline, from top to bottom; a section without anything to say is left away."""
    from serverless_lab.reporting.figures import figures

    found = [
        Section("gates", "Gates", _gates(judgement)),
        Section("baseline", _baseline_title(judgement), _bullets(_comparison(judgement))),
        Section("charts", "Charts", figures(report, requests)),
        Section("functions", "By " + (", ".join(report.by) or "function"), _groups(report)),
        Section("client", "As the client saw it", _client(report)),
        *extra,
        Section("environments", "Environments and billing", _environments(report)),
        Section("notes", "Notes", _bullets(report.notes)),
        Section("unreadable", "Could not be read", _bullets(list(words.unreadable_lines(report)))),
        Section("about", "About this run" if report.files is None else "About these files", _about(report, manifest)),
    ]
    return [section for section in found if section.parts]


def embedded(data: dict[str, Any], most_bytes: int = DATA_MAX_BYTES) -> tuple[dict[str, Any], list[str]]:
    """(the report's JSON within `most_bytes`, which keys were left out for that)."""
    left_out: list[str] = []
    for key in _LEAST_MISSED:
        if len(json.dumps(data, separators=(",", ":"))) <= most_bytes:
            break
        if key == "distributions":
            functions = [{k: v for k, v in function.items() if k != key} for function in data["functions"]]
            data = {**data, "functions": functions}
        else:
            data = {name: value for name, value in data.items() if name != key}
        left_out.append(key)
    if left_out:
        data = {**data, "left_out": left_out}
    return data, left_out


# --- the parts of sections -------------------------------------------------------------------------------------------


def _gates(judgement: Judgement | None) -> list[Part]:
    if judgement is None or not judgement.verdicts:
        return []
    ordered = sorted(judgement.verdicts, key=lambda verdict: verdict.outcome == "passed")
    rows = [[verdict.outcome.upper(), verdict.gate.text, verdict.sentence] for verdict in ordered]
    return [Table("What the report was held against", Cells(["outcome", "gate", "measured"], rows))]


def _baseline_title(judgement: Judgement | None) -> str:
    source = judgement.comparison.source if judgement is not None and judgement.comparison is not None else ""
    return f"Beside {clean(source, CELL_MAX)}"


def _comparison(judgement: Judgement | None) -> list[str]:
    return [] if judgement is None else words.comparison_lines(judgement)


def _bullets(lines: Sequence[str]) -> list[Part]:
    if len(lines) > LINES_MAX:
        lines = [*lines[:LINES_MAX], f"and {len(lines) - LINES_MAX:,} more"]
    return [Bullets(lines)] if lines else []


def _groups(report: ColdStartReport) -> list[Part]:
    parts: list[Part] = []
    if report.functions:
        counts, times = words.group_cells(report)
        parts += [Table("Invocations and cold starts", counts), Table("Times, in ms", times)]
        parts.append(Sentence(words.LEGEND))
    if len(report.bins) > 1 and "bin" not in report.by:
        parts.append(Table("Over time: all time bins", words.bin_cells(report), folded=True))
    return parts


def _client(report: ColdStartReport) -> list[Part]:
    if report.client is None:
        return []
    parts: list[Part] = [Sentence(line) for line in words.client_lines(report.client)]
    title = "Latency, by the kind of the invocation that served the request"
    parts.append(Table(title, words.client_cells(report.client)))
    if report.client.joined:
        parts.append(Sentence(f"Cold starts a client waited for: {words.rate_text(report.client.cold_starts)}"))
    return parts


def _environments(report: ColdStartReport) -> list[Part]:
    pairs = words.about_environments(report)
    kinds = words.kinds_text(report.total) if report.total.kinds else []
    parts: list[Part] = [Bullets(kinds)] if kinds else []
    return [*parts, Facts(pairs)] if pairs else parts


def _about(report: ColdStartReport, manifest: Mapping[str, Any]) -> list[Part]:
    """Where all of this comes from, so that it can be done again."""
    pairs: list[tuple[str, str]] = []

    def say(name: str, value: Any) -> None:
        if value not in (None, ""):
            pairs.append((name, str(value)))

    if report.files is not None:
        say("Files", ", ".join(_file_names(report)))
        say("Formats", ", ".join(f"{count:,} {name}" for name, count in report.files.formats.items()))
        for name, limit in (("Since", report.files.since_ms), ("Until", report.files.until_ms)):
            say(name, None if limit is None else words.instant_text(limit))
    say("Run", report.run_id)
    source = str(manifest.get("scenario_source") or "")
    say("Scenario", " from ".join(word for word in (report.scenario, source) if word))
    say("Description", (manifest.get("scenario_document") or {}).get("description"))
    say("Seed", manifest.get("seed"))
    say("Target", report.target)
    say("Stack", report.stack_name)
    say("Region", report.region)
    say("Clock", report.clock)
    say("Began", None if report.started_at_ms is None else words.instant_text(report.started_at_ms))
    say("Ended", None if report.ended_at_ms is None else words.instant_text(report.ended_at_ms))
    if report.files is None and manifest:
        sent, planned = manifest.get("sent"), manifest.get("planned")
        say("Requests sent", None if sent is None else f"{sent:,}" + ("" if planned is None else f" of {planned:,}"))
        if report.clock != "virtual" and manifest.get("late_ms_p99") is not None:
            say("Sent late, ms", f"p50 {manifest.get('late_ms_p50'):.1f}, p99 {manifest['late_ms_p99']:.1f}")
    if report.files is not None and report.first_ms is not None and report.last_ms is not None:
        say("Invocations began", f"{words.instant_text(report.first_ms)} to {words.instant_text(report.last_ms)}")
    say("Time bins", None if report.bin_ms is None else words.span_text(report.bin_ms))
    say("Log read", words.instant_text(report.read_at_ms) if report.read_at_ms else None)
    versions = manifest.get("versions") or {}
    say("Versions of the run", ", ".join(f"{name} {version}" for name, version in versions.items()))
    say("Report made by", f"serverless-lab {__version__}")
    return [Facts(pairs)]


def _file_names(report: ColdStartReport) -> list[str]:
    paths = [] if report.files is None else [clean(path, CELL_MAX) for path in report.files.paths]
    return paths if len(paths) <= 20 else [*paths[:20], f"and {len(paths) - 20:,} more"]


# --- drawing ---------------------------------------------------------------------------------------------------------


def _headline(report: ColdStartReport) -> Html:
    rate = report.total.cold_starts
    if rate.count is None or rate.rate is None:
        return element("h1", words.headline(report))
    return element("h1", f"{words.percent(rate.rate)} % cold starts", element("small", words.headline(report)))


def _tiles(report: ColdStartReport) -> list[tuple[str, str, str]]:
    """The few numbers that most readers come for."""
    total = report.total
    tiles: list[tuple[str, str, str]] = []
    rate = total.cold_starts
    if rate.rate is not None and rate.interval is not None:
        low, high = (words.percent(end) for end in rate.interval)
        beside = f"{low} to {high} % · {rate.count:,} of {rate.n:,}"
        tiles.append(("Cold-start rate", f"{words.percent(rate.rate)} %", beside))
    if total.init_ms.n:
        tiles.append(("Init, p50", _ms(total.init_ms.p50), f"p90 {_ms(total.init_ms.p90)}"))
    both = total.init_plus_first_duration_ms
    if both.n:
        tiles.append(("Init + first duration, p50", _ms(both.p50), f"p90 {_ms(both.p90)}"))
    if report.client is not None and report.client.latency_ms.n:
        found = report.client.latency_ms
        tiles.append(("Client latency, p50", _ms(found.p50), f"p90 {_ms(found.p90)} · p99 {_ms(found.p99)}"))
        tiles.append(("Requests", f"{report.client.requests:,}", f"{report.client.failures:,} failed"))
    else:
        tiles.append(("Duration, p50", _ms(total.duration_ms.p50), f"p99 {_ms(total.duration_ms.p99)}"))
    if total.environments is not None:
        alive = "" if report.environments is None else f"at most {report.environments.alive_max:,} at once"
        tiles.append(("Environments initialised", f"{total.environments:,}", alive))
    if report.tells_failures:
        failed = total.timeouts + total.errors
        tiles.append(("Failed invocations", f"{failed:,}", f"{total.timeouts:,} timed out, {total.errors:,} crashed"))
    return tiles


def _ms(value: float | None) -> str:
    return ABSENT if value is None else f"{words.ms_text(value)} ms"
