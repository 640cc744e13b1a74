"""What a report was held against: gates, and an earlier report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serverless_lab.coldstarts.baseline import BaselineReport, FunctionVerdict, baseline_json
from serverless_lab.coldstarts.gates import FAILED, UNTOLD, Verdict


@dataclass(frozen=True)
class Judgement:
    """The verdicts on a report. A regression is a failure only where `fail_on_regression` asks for that."""

    verdicts: tuple[Verdict, ...] = ()
    comparison: BaselineReport | None = None
    fail_on_regression: bool = False

    @property
    def regressions(self) -> tuple[FunctionVerdict, ...]:
        return () if self.comparison is None else self.comparison.regressions

    @property
    def failures(self) -> list[str]:
        """A sentence for each gate that failed, and for each regression that counts."""
        found = [verdict.sentence for verdict in self.verdicts if verdict.outcome == FAILED]
        return found + [function.sentence for function in self.regressions if self.fail_on_regression]

    @property
    def untold(self) -> list[str]:
        """A sentence for each demand that the input says nothing about: none of them is met."""
        found = [f"gate `{item.gate.text}`: {item.sentence}" for item in self.verdicts if item.outcome == UNTOLD]
        if self.fail_on_regression and self.comparison is not None:
            reason = self.comparison.not_comparable()
            if reason is not None:
                found.append(f"baseline {self.comparison.source}: {reason}")
        return found

    def to_json(self) -> dict[str, Any]:
        """The keys that are added to the report's JSON."""
        return {
            "gates": [
                {
                    "gate": verdict.gate.text,
                    "function": verdict.function,
                    "quantity": verdict.gate.quantity.name,
                    "value": verdict.value,
                    "limit": verdict.gate.limit,
                    "unit": {"%": "fraction"}.get(verdict.gate.quantity.unit, verdict.gate.quantity.unit),
                    "outcome": verdict.outcome,
                    "sentence": verdict.sentence,
                }
                for verdict in self.verdicts
            ],
            "baseline": None if self.comparison is None else baseline_json(self.comparison),
            "failures": self.failures,
        }
