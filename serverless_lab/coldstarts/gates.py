"""Gates: conditions under which a report is a failure, such as `cold_rate > 5%`.

    GATE      = [FUNCTION ":"] QUANTITY OPERATOR VALUE
    FUNCTION  = a function's name, its short name, or a pattern with * and ?; without it, all invocations together
    QUANTITY  = one of quantities.py; a rate or a p50, p90, p99 may end in _low or _high: an end of its 95 % interval
    OPERATOR  = ">" | ">=" | "<" | "<=" | "==" | "!="
    VALUE     = a number with the unit of the quantity: 5%, 800ms, 1.2s, 128MB, 3

A gate on what the input cannot tell is neither passed nor failed: it is `untold`, and that is an error.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from serverless_lab.coldstarts.notes import percent_text
from serverless_lab.coldstarts.quantities import COUNT, MB, MS, QUANTITIES, SHARE, Quantity, known, quantity_named
from serverless_lab.errors import BadInput, ReportError

if TYPE_CHECKING:
    from serverless_lab.coldstarts.report import ColdStartReport
    from serverless_lab.coldstarts.statistics import Summary

PASSED, FAILED, UNTOLD = "passed", "failed", "untold"

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Gate:
    """One condition. `limit` is in ms, MB, a fraction or a number; `text` is what the user wrote."""

    text: str
    function: str | None
    quantity: Quantity
    operator: str
    limit: float


@dataclass(frozen=True)
class Verdict:
    """What became of a gate, for all invocations (`function` None) or for one function.

    `outcome` is `passed`, `failed` or `untold`; `value` has the unit of `gate.limit`.
    """

    gate: Gate
    function: str | None
    outcome: str
    value: float | None
    sentence: str


def parse_gate(text: str) -> Gate:
    """The gate that `text` says.

    Raises:
        BadInput: it says none; the message has what could stand there.
    """
    match = _GATE.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"`{text}` is no gate: write [FUNCTION:] QUANTITY > VALUE, such as `cold_rate > 5%`\n{known()}")
    name = match["quantity"]
    quantity = quantity_named(name)
    if quantity is None:
        near = get_close_matches(name, QUANTITIES, 1)
        meant = f"; did you mean `{near[0]}`?" if near else ""
        raise BadInput(f"`{text}`: there is no quantity `{name}`{meant}\n{known()}")
    if match["function"] is not None and not quantity.of_function:
        raise BadInput(f"`{text}`: {name} is of everything together, not of a function: write it without one")
    return Gate(
        text=" ".join(text.split()),
        function=match["function"],
        quantity=quantity,
        operator=match["operator"],
        limit=_limit(text, match["number"], match["unit"], quantity),
    )


def evaluate(report: ColdStartReport, gates: Iterable[Gate]) -> tuple[Verdict, ...]:
    """The verdicts on `gates` in their order; a pattern gives one per function.

    Raises:
        ReportError: a gate names a function that is not in the report.
    """
    return tuple(
        _verdict(report, gate, function, summary) for gate in gates for function, summary in _scopes(report, gate)
    )


def value_text(quantity: Quantity, value: float | None) -> str:
    """`6.2 %`, `812.4 ms`, `128 MB`, `3`."""
    if value is None:
        return "not told"
    match quantity.unit:
        case "%":
            return percent_text(value)
        case "ms":
            return f"{value:,.1f} ms" if value < 1000 else f"{value:,.0f} ms"
        case "MB":
            return f"{value:,.0f} MB"
        case _:
            return f"{value:,.6g}" if value < 1e6 else f"{value:,.0f}"


# --- grammar ---------------------------------------------------------------------------------------------------------

_GATE = re.compile(
    r"(?:(?P<function>[^\s<>=!]+?)\s*:\s*)?(?P<quantity>[A-Za-z][A-Za-z0-9_]*)\s*(?P<operator>>=|<=|==|!=|>|<)\s*"
    r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>%|[A-Za-z]*)"
)

_UNITS = {
    SHARE: {"%": 0.01},
    MS: {"ms": 1.0, "s": 1_000.0, "m": 60_000.0},
    MB: {"MB": 1.0, "GB": 1_024.0},
    COUNT: {"": 1.0},
}

_EXAMPLES = {SHARE: "5%", MS: "800ms or 1.2s", MB: "128MB", COUNT: "3"}


def _limit(text: str, number: str, unit: str, quantity: Quantity) -> float:
    factor = _UNITS[quantity.unit].get(unit)
    if factor is None:
        written = f"has the unit `{unit}`" if unit else "has no unit"
        raise BadInput(f"`{text}`: the value of {quantity.name} {written}; write it as {_EXAMPLES[quantity.unit]}")
    # 5 * 0.01 is not 0.05, and 5 / 100 is.
    return float(number) / 100 if factor == 0.01 else float(number) * factor


# --- scopes and verdicts ---------------------------------------------------------------------------------------------


def _scopes(report: ColdStartReport, gate: Gate) -> Sequence[tuple[str | None, Summary]]:
    if gate.function is None:
        return [(None, report.total)]
    short = report.short_names
    named = [(summary.function or "", summary) for summary in report.functions]
    exact = [(name, summary) for name, summary in named if gate.function in (name, short[name])]
    found = exact or [
        (name, summary)
        for name, summary in named
        if fnmatchcase(name, gate.function) or fnmatchcase(short[name], gate.function)
    ]
    if not found:
        names = ", ".join(sorted(short[name] or "(no name)" for name, _ in named)) or "none"
        raise ReportError(
            f"gate `{gate.text}`: there is no function `{gate.function}` in this report",
            hint=f"its functions: {names}",
        )
    return list(found)


def _verdict(report: ColdStartReport, gate: Gate, function: str | None, summary: Summary) -> Verdict:
    whose = gate.quantity.name if function is None else f"{gate.quantity.name} of {report.short_names[function]}"
    measured = gate.quantity.measure(report, summary)
    if measured.value is None:
        sentence = f"{whose} cannot be told: {measured.words}"
        return Verdict(gate, function, UNTOLD, None, sentence)
    fails = OPERATORS[gate.operator](measured.value, gate.limit)
    words = f" ({measured.words})" if measured.words else ""
    limit = value_text(gate.quantity, gate.limit)
    sentence = (
        f"{whose} is {value_text(gate.quantity, measured.value)}{words}; "
        f"{'fails' if fails else 'would fail'} if {gate.operator} {limit}"
    )
    return Verdict(gate, function, FAILED if fails else PASSED, measured.value, sentence)
