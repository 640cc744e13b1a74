"""A traffic profile: what the user says of a month, in YAML, instead of what a run measured.

profile.schema.json beside this module says which keys there are.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from serverless_lab import quotas
from serverless_lab.cost.documents import read_document
from serverless_lab.cost.items import X86
from serverless_lab.cost.monthly import HOURS
from serverless_lab.cost.run_usage import Standing
from serverless_lab.cost.usage import ASSUMED, DECLARED, Usage, gigabytes, invocations, total
from serverless_lab.errors import BadInput

SCHEMA_FILE = Path(__file__).with_name("profile.schema.json")

_PER_REQUEST = {
    "s3_puts": "s3.puts",
    "s3_gets": "s3.gets",
    "dynamodb_writes": "dynamodb.writes",
    "dynamodb_reads": "dynamodb.reads",
    "sqs_requests": "sqs.requests",
    "sqs_fifo_requests": "sqs.fifo_requests",
    "events": "events.custom",
}
_PER_MONTH = {
    "scheduler_invocations": "scheduler.invocations",
    "sqs_requests": "sqs.requests",
    "logs_scanned_gb": "logs.scanned",
    "dynamodb_streams_reads": "dynamodb.streams_reads",
    "s3_storage_gb": "s3.storage",
    "dynamodb_storage_gb": "dynamodb.storage",
    "snapstart_restored_gb": "lambda.snapstart.restored",
}


@dataclass(frozen=True)
class TrafficProfile:
    """A month as the user tells it. `usage` is all of it; `standing` what of it is provisioned concurrency."""

    name: str
    region: str | None
    requests_per_month: Decimal
    usage: Usage
    standing: tuple[Standing, ...]
    init_gb_s: Decimal
    hours: float


def read_profile(path: Path, requests_per_month: float | None = None) -> TrafficProfile:
    """The profile in the file at `path`.

    Args:
        requests_per_month: instead of what the file says.

    Raises:
        BadInput: the file cannot be read, or says what no profile says.
    """
    return parse_profile(read_document(path, "profile"), str(path), requests_per_month)


def parse_profile(document: Any, source: str, requests_per_month: float | None = None) -> TrafficProfile:
    """
    Raises:
        BadInput: the document says what no profile says; with the place and the value.
    """
    if requests_per_month is not None and isinstance(document, dict):
        document = {**document, "requests_per_month": requests_per_month}
    _check(document, source)
    requests = _decimal(document["requests_per_month"])
    hours = float(document.get("hours", HOURS))
    usages, standing, init_gb_s = [], [], Decimal(0)
    for at, function in enumerate(document["functions"]):
        used, inits, stands = _function(function, f"{source}: functions[{at}]", requests)
        usages.append(used)
        init_gb_s += inits
        if stands is not None:
            standing.append(stands)
            usages.append(stands.usage(float(function["provisioned"].get("hours", hours)) * 3600, DECLARED))
    if document.get("api", "rest") != "none":
        usages.append(Usage.of({f"apigateway.{document.get('api', 'rest')}": requests}))
    usages.append(_others(document, requests, hours))
    return TrafficProfile(
        name=str(document.get("name") or Path(source).stem),
        region=document.get("region"),
        requests_per_month=requests,
        usage=total(usages),
        standing=tuple(standing),
        init_gb_s=init_gb_s,
        hours=hours,
    )


def _function(function: Mapping[str, Any], where: str, requests: Decimal) -> tuple[Usage, Decimal, Standing | None]:
    """(what its invocations use, the GB-seconds of that which are inits, its provisioned concurrency)."""
    count = requests * _decimal(function.get("invocations_per_request", 1))
    memory_mb = int(function["memory_mb"])
    provisioned = function.get("provisioned")
    share = _share(provisioned.get("share", 1), f"{where}.provisioned.share") if provisioned else Decimal(0)
    cold_rate = _share(function.get("cold_rate", 0), f"{where}.cold_rate")
    if cold_rate and "init_ms" not in function:
        raise BadInput(f"{where} has a cold_rate and no init_ms", hint="the init is billed: say how long it takes")
    common: dict[str, Any] = {
        "memory_mb": memory_mb,
        "architecture": function.get("architecture", X86),
        "ephemeral_storage_mb": int(function.get("ephemeral_storage_mb", quotas.EPHEMERAL_STORAGE_DEFAULT_MB)),
    }
    duration_ms = _decimal(function["duration_ms"])
    # Cold starts are on demand: an environment of provisioned concurrency is initialised before it is asked.
    on_demand = count * (1 - share)
    init_ms = on_demand * cold_rate * _decimal(function.get("init_ms", 0))
    usage = invocations(requests=on_demand, billed_ms=on_demand * duration_ms + init_ms, **common)
    served = count * share
    usage += invocations(requests=served, billed_ms=served * duration_ms, provisioned=True, **common)
    if provisioned is None:
        return usage, init_ms / 1000 * memory_mb / 1024, None
    name = str(function.get("name") or where)
    standing = Standing(name, int(provisioned["environments"]), memory_mb, common["architecture"])
    return usage, init_ms / 1000 * memory_mb / 1024, standing


def _others(document: Mapping[str, Any], requests: Decimal, hours: float) -> Usage:
    per_request, per_month = document.get("per_request") or {}, document.get("per_month") or {}
    kept = document.get("months_kept") or {}

    def of_requests(key: str) -> Decimal:
        return requests * _decimal(per_request.get(key, 0))

    logged = gigabytes(of_requests("log_bytes"))
    usage = Usage.of({item: of_requests(key) for key, item in _PER_REQUEST.items()})
    usage += Usage.of({item: _decimal(per_month.get(key, 0)) for key, item in _PER_MONTH.items()})
    usage += Usage.of({"logs.ingested": logged, "transfer.out": gigabytes(of_requests("response_bytes"))})
    usage += Usage.of(
        {"lambda.snapstart.cached": _decimal(per_month.get("snapstart_cached_gb", 0)) * int(hours * 3600)}
    )
    return usage + Usage.of(
        {
            "s3.storage": gigabytes(of_requests("s3_bytes")) * _decimal(kept.get("s3", 1)),
            "dynamodb.storage": gigabytes(of_requests("dynamodb_bytes")) * _decimal(kept.get("dynamodb", 1)),
            "logs.stored": logged * _decimal(quotas.LOG_STORED_SHARE) * _decimal(kept.get("logs", 1)),
        },
        ASSUMED if not kept else DECLARED,
    )


def _share(value: Any, where: str) -> Decimal:
    """`80%` or 0.8."""
    text = str(value).strip()
    try:
        share = Decimal(text.removesuffix("%").strip()) / (100 if text.endswith("%") else 1)
    except ArithmeticError:
        share = Decimal(-1)
    if not 0 <= share <= 1:
        raise BadInput(f"{where} is {value!r}", hint="write a share as 2.5% or 0.025")
    return share


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value))


# --- the schema ------------------------------------------------------------------------------------------------------


@cache
def _schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return found


def _check(document: Any, source: str) -> None:
    """Raises BadInput with the first thing in the document that the schema does not allow."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(_schema()).iter_errors(document))
    if error is None:
        return
    where = _place(error.absolute_path) or "the profile"
    hint = "docs/cost.md explains every key"
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        key = next(name for name in error.instance if name not in known)
        close = difflib.get_close_matches(str(key), known, n=1)
        raise BadInput(
            f"{source}: {where} has an unknown key `{key}`",
            hint=f"did you mean `{close[0]}`?" if close else f"keys there: {', '.join(known)}",
        )
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        raise BadInput(f"{source}: {where} has no `{missing}`", hint=hint)
    raise BadInput(f"{source}: {where}: {error.message}", hint=hint)


def _place(path: Any) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
