"""Gates on a bill: `total > 100`, in USD.

    GATE     = QUANTITY OPERATOR VALUE
    QUANTITY = total, per_million, or a service: lambda, apigateway, dynamodb, s3, logs, sqs, events, transfer
    OPERATOR = ">" | ">=" | "<" | "<=" | "==" | "!="
    VALUE    = USD, with or without "$"

They are on the bill that is shown: the month's where there is one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from serverless_lab.coldstarts.gates import OPERATORS
from serverless_lab.cost.bill import dollars
from serverless_lab.cost.report import CostReport
from serverless_lab.errors import BadInput

FAMILIES: dict[str, tuple[str, ...]] = {
    "lambda": ("lambda",),
    "apigateway": ("apigateway",),
    "dynamodb": ("dynamodb",),
    "s3": ("s3",),
    "logs": ("logs",),
    "sqs": ("sqs",),
    "events": ("events", "scheduler"),
    "transfer": ("transfer",),
}
QUANTITIES = ("total", "per_million", *FAMILIES)

_FORM = re.compile(r"\s*(\w+)\s*(>=|<=|==|!=|>|<)\s*\$?\s*(\S+)\s*")


@dataclass(frozen=True)
class CostGate:
    text: str
    quantity: str
    operator: str
    limit: Decimal

    def failure(self, report: CostReport) -> str | None:
        """The sentence that says so when the gate fails.

        Raises:
            BadInput: the report does not tell the quantity.
        """
        measured = self._measured(report)
        if not OPERATORS[self.operator](measured, self.limit):
            return None
        return f"{self.text}: {self.quantity} is {dollars(measured)}"

    def _measured(self, report: CostReport) -> Decimal:
        if self.quantity == "per_million":
            if report.per_million is None:
                raise BadInput(f"--fail-if '{self.text}': a profile has no price of a million requests of its own")
            return report.per_million.total
        return report.bill.total if self.quantity == "total" else report.bill.amount(*FAMILIES[self.quantity])


def parse_gate(text: str) -> CostGate:
    """
    Raises:
        BadInput: what is wrong with it.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise BadInput(f"'{text}' is no gate", hint="for example: --fail-if 'total > 100'")
    quantity, sign, value = form.groups()
    if quantity not in QUANTITIES:
        raise BadInput(f"'{text}': there is no quantity `{quantity}`", hint=f"quantities: {', '.join(QUANTITIES)}")
    try:
        limit = Decimal(value.replace(",", ""))
    except InvalidOperation:
        limit = Decimal("NaN")
    if not limit.is_finite():
        raise BadInput(f"'{text}': `{value}` is no amount", hint="amounts are in USD: --fail-if 'total > 100'")
    return CostGate(text.strip(), quantity, sign, limit)
