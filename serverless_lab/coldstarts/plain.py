"""The report as plain data: what `--json` prints, and report.schema.json beside this module describes.

Keys are added within a schema number, never changed. Null is "cannot be told".
"""

from __future__ import annotations

import json
from typing import Any

from serverless_lab.coldstarts.billing import Billing, billing_sentence
from serverless_lab.coldstarts.client import ClientSummary
from serverless_lab.coldstarts.differences import TIMES, Distribution
from serverless_lab.coldstarts.judgement import Judgement
from serverless_lab.coldstarts.lifetimes import Environments, IdleLifetime, idle_sentence
from serverless_lab.coldstarts.report import ColdStartReport, FilesRead
from serverless_lab.coldstarts.statistics import Quantiles, Rate, Sample, Summary

SCHEMA = 1


def report_json(report: ColdStartReport, judgement: Judgement | None = None) -> dict[str, Any]:
    """The whole report, and what it was held against."""
    return {
        "schema": SCHEMA,
        "run_id": report.run_id,
        "scenario": report.scenario,
        "target": report.target,
        "stack_name": report.stack_name,
        "region": report.region,
        "clock": report.clock,
        "started_at_ms": report.started_at_ms,
        "ended_at_ms": report.ended_at_ms,
        "source": report.source,
        "files": None if report.files is None else _files_json(report.files),
        "read_at_ms": report.read_at_ms,
        "first_ms": report.first_ms,
        "last_ms": report.last_ms,
        "bin_ms": report.bin_ms,
        "total": summary_json(report.total),
        "functions": [
            {**summary_json(summary), "distributions": _distributions_json(report.samples[summary.function or ""])}
            for summary in report.functions
        ],
        "by": list(report.by),
        "groups": [summary_json(summary) for summary in report.groups],
        "bins": [summary_json(summary) for summary in report.bins],
        "environments": None if report.environments is None else _environments_json(report.environments),
        "idle_lifetime": None if report.idle is None else _idle_json(report.idle),
        "billing": None if report.billing is None else _billing_json(report.billing),
        "client": None if report.client is None else _client_json(report.client),
        "unfinished_invocations": report.unfinished,
        "unfinished_rate": report.unfinished_rate.rate if report.tells_unfinished else None,
        "unreadable_lines": report.unreadable,
        "unreadable_share_max": report.unreadable_share_max,
        "tells_failures": report.tells_failures,
        "tells_unfinished": report.tells_unfinished,
        "failures_only": list(report.failures_only),
        "notes": list(report.notes),
        **(judgement or Judgement()).to_json(),
    }


def _files_json(files: FilesRead) -> dict[str, Any]:
    return {
        "paths": list(files.paths),
        "formats": dict(files.formats),
        "since_ms": files.since_ms,
        "until_ms": files.until_ms,
        "unreadable_files": files.unreadable_files,
        "unreadable": [
            {"file": place.file, "line": place.line, "text": place.text, "reason": place.reason}
            for place in files.unreadable
        ],
    }


def _distributions_json(sample: Sample) -> dict[str, Any]:
    """What a later report needs to be compared with this one."""
    return {name: Distribution.of(getattr(sample, array)).to_json() for name, array in TIMES.items()}


def dumps(data: Any, indent: str = "") -> str:
    """JSON text, indented, with lists of numbers on one line: distributions are long."""
    inner = indent + "  "
    if isinstance(data, dict) and data:
        parts = [f"{inner}{json.dumps(str(key))}: {dumps(value, inner)}" for key, value in data.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    if isinstance(data, list) and any(isinstance(item, dict | list | str) for item in data):
        return "[\n" + ",\n".join(inner + dumps(item, inner) for item in data) + f"\n{indent}]"
    return json.dumps(data, allow_nan=False)


def _environments_json(found: Environments) -> dict[str, Any]:
    return {
        "used": found.used,
        "began": found.began,
        "alive_max": found.alive_max,
        "busy_max": found.busy_max,
        "alive_by_bin": list(found.alive_by_bin),
        "busy_by_bin": list(found.busy_by_bin),
        "lifetime_ms": _quantiles_json(found.lifetime_ms),
        "served_invocations": _quantiles_json(found.served),
    }


def _idle_json(found: IdleLifetime) -> dict[str, Any]:
    return {
        "low_ms": found.low_ms,
        "high_ms": found.high_ms,
        "survived_gaps": found.survived,
        "survived_max_ms": found.survived_max_ms,
        "ended": found.ended,
        "ended_min_ms": found.ended_min_ms,
        "contradictions": found.contradictions,
        "beside_idle": found.beside_idle,
        "sentence": idle_sentence(found),
    }


def _billing_json(found: Billing) -> dict[str, Any]:
    return {
        "era": found.era,
        "fitting": _rate_json(found.fitting),
        "told_by": found.told_by,
        "lines": dict(found.lines),
        "fits": {kind: dict(rules) for kind, rules in found.fits.items()},
        "sentence": billing_sentence(found),
    }


def summary_json(summary: Summary) -> dict[str, Any]:
    """A summary, of whatever group it is."""
    return {
        "function": summary.function,
        "bin_start_ms": summary.bin_start_ms,
        "version": summary.version,
        "initialization_type": summary.initialization_type,
        "invocations": summary.invocations,
        "kinds": dict(summary.kinds),
        "cold_starts": _rate_json(summary.cold_starts),
        "environments_initialised": summary.environments,
        "invocations_with_init": summary.with_init,
        "init_ms": _quantiles_json(summary.init_ms),
        "restore_ms": _quantiles_json(summary.restore_ms),
        "duration_ms": _quantiles_json(summary.duration_ms),
        "init_plus_first_duration_ms": _quantiles_json(summary.init_plus_first_duration_ms),
        "memory_size_mb": list(summary.memory_size_mb),
        "max_memory_used_mb": summary.max_memory_used_mb,
        "timeouts": summary.timeouts,
        "errors": summary.errors,
        "billed_ms": summary.billed_ms,
        "billed_gb_s": summary.billed_gb_s,
    }


def _client_json(client: ClientSummary) -> dict[str, Any]:
    return {
        "requests": client.requests,
        "sent": client.sent,
        "not_sent": client.not_sent,
        "failures": client.failures,
        "statuses": {str(code): count for code, count in client.statuses.items()},
        "transport_errors": dict(client.transport_errors),
        "latency_ms": _quantiles_json(client.latency_ms),
        "latency_ms_by_kind": {kind: _quantiles_json(found) for kind, found in client.latency_ms_by_kind.items()},
        "with_request_id": client.with_request_id,
        "joined": client.joined,
        "without_report": client.without_report,
        "with_several_reports": client.with_several_reports,
        "cold_starts": _rate_json(client.cold_starts),
        "unexplained_invocations": dict(client.unexplained),
    }


def _rate_json(rate: Rate) -> dict[str, Any]:
    return {
        "count": rate.count,
        "n": rate.n,
        "rate": rate.rate,
        "rate_interval_95": None if rate.interval is None else list(rate.interval),
    }


def _quantiles_json(found: Quantiles) -> dict[str, Any]:
    intervals = {
        f"{name}_interval_95": None if interval is None else list(interval)
        for name, interval in (("p50", found.p50_interval), ("p90", found.p90_interval), ("p99", found.p99_interval))
    }
    return {"n": found.n, "p50": found.p50, "p90": found.p90, "p99": found.p99, "max": found.max, **intervals}
