"""variants.yaml -> frozen dataclasses: the one place that validates them.

`docs/comparing.md` explains every key, `variants.schema.json` beside this module says the same to editors.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serverless_lab.errors import ScenarioError
from serverless_lab.located_yaml import Checker, Node, read_nodes, shown
from serverless_lab.project import bundled
from serverless_lab.scenario import SCENARIO_KEYS, Scenario, parse_document

TOP_KEYS = ("description", "baseline", "variants", "sensitivity")
VARIANT_KEYS = (
    "name",
    "description",
    "parameters",
    "scenario",
    "idle_lifetime",
    "provisioned_hours_per_month",
    "settle",
)
SENSITIVITY_KEYS = ("variant", "idle_lifetime", "repeat")
PEAK = "$peak"
NOT_OVERRIDDEN = ("name", "seed", "description")
"""What of a scenario a variant cannot change: a comparison is of one scenario, and chooses the seeds itself."""

MAX_VARIANTS = 50
# ours to choose: a month of 30 days, as AWS calculates its examples with
HOURS_PER_MONTH = 720.0
BUNDLED_FILE = "mitigations.yaml"


@dataclass(frozen=True)
class Peak:
    """A parameter's value that is the scenario's peak concurrency times `factor`, rounded up."""

    factor: float


@dataclass(frozen=True)
class Variant:
    """One way to deploy and to be loaded.

    `parameters` are the template's, `scenario` are keys of the scenario with other values. `idle_lifetime_ms` is how
    long the embedded emulator keeps an idle environment, None for its default. `provisioned_hours_per_month` is how
    long provisioned concurrency stands there in a month, for the bill alone. `settle_ms` is waited after deploying on
    targets in real time, where a quiet stretch before the load is not aged.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, str | Peak] = field(default_factory=dict)
    scenario: Mapping[str, Any] = field(default_factory=dict)
    idle_lifetime_ms: float | None = None
    provisioned_hours_per_month: float = HOURS_PER_MONTH
    settle_ms: float = 0.0


@dataclass(frozen=True)
class Sensitivity:
    """How `variant` does under other idle lifetimes, which AWS does not publish; `repeat` runs of each."""

    variant: str
    idle_lifetimes_ms: tuple[float, ...]
    repeat: int = 1


@dataclass(frozen=True)
class VariantSet:
    """What a file says. `source` names it in messages."""

    source: str
    baseline: str
    variants: tuple[Variant, ...]
    sensitivity: Sensitivity | None = None

    def named(self, name: str) -> Variant:
        return next(variant for variant in self.variants if variant.name == name)

    def only(self, names: list[str]) -> VariantSet:
        """The variants of these names and the baseline, in the file's order.

        Raises:
            ScenarioError: there is none of a name.
        """
        known = [variant.name for variant in self.variants]
        for name in names:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean `{close[0]}`? " if close else ""
                raise ScenarioError(
                    f"{self.source} has no variant `{name}`", hint=f"{hint}its variants: {', '.join(known)}"
                )
        kept = {self.baseline, *names}
        sensitivity = self.sensitivity if self.sensitivity is not None and self.sensitivity.variant in kept else None
        chosen = tuple(variant for variant in self.variants if variant.name in kept)
        return VariantSet(self.source, self.baseline, chosen, sensitivity)


def load_variants(path: Path | None, directory: Path) -> VariantSet:
    """The variants in `path`; None takes ./scenarios/mitigations.yaml or the bundled file of that name.

    Raises:
        ScenarioError: no such file, not YAML, or not variants; the message has file and line.
    """
    if path is None:
        own = directory / "scenarios" / BUNDLED_FILE
        path = own if own.is_file() else bundled("scenarios", BUNDLED_FILE)
    else:
        path = directory / path
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"variants {path} cannot be read: {error}", hint="name a YAML file: --variants ./variants.yaml"
        ) from error
    try:
        source = str(path.resolve().relative_to(directory.resolve()))
    except ValueError:
        source = str(path)
    return parse_variants(text, source)


def parse_variants(text: str, source: str) -> VariantSet:
    """The variants in YAML `text`; `source` names it in messages.

    Raises:
        ScenarioError: with `source:line:` and the field.
    """
    return _Parser(source).variants(read_nodes(text, source, _Parser.page))


def varied(scenario: Scenario, variant: Variant) -> Scenario:
    """The scenario as `variant` is loaded with it.

    Raises:
        ScenarioError: it is none any more; the message names the variant.
    """
    if not variant.scenario:
        return scenario
    return parse_document({**scenario.document, **variant.scenario}, f"variant `{variant.name}` of {scenario.source}")


class _Parser(Checker):
    page = "docs/comparing.md"

    def variants(self, root: Node) -> VariantSet:
        top = self.mapping(root, "variants file", TOP_KEYS)
        if "variants" not in top:
            self.fail(root.line, "variants", "is missing", "add variants: [{name: baseline}, {name: lazy, …}]")
        found: list[Variant] = []
        items = self.items(top["variants"], "variants")
        if len(items) > MAX_VARIANTS:
            self.fail(top["variants"].line, "variants", f"{len(items)} are more than {MAX_VARIANTS}")
        for number, item in enumerate(items):
            variant = self.variant(item, f"variants[{number}]")
            if any(variant.name == other.name for other in found):
                self.fail(item.line, f"variants[{number}].name", f"two variants are called `{variant.name}`")
            found.append(variant)
        names = [variant.name for variant in found]
        if "description" in top:
            self.text(top["description"], "description")
        baseline = self.one_of(top["baseline"], "baseline", names) if "baseline" in top else names[0]
        sensitivity = self.sensitivity(top["sensitivity"], names) if "sensitivity" in top else None
        return VariantSet(self.source, baseline, tuple(found), sensitivity)

    def variant(self, node: Node, where: str) -> Variant:
        keys = self.mapping(node, where, VARIANT_KEYS)
        if "name" not in keys:
            self.fail(node.line, f"{where}.name", "is missing", "a variant has a name: {name: lazy}")
        name = self.text(keys["name"], f"{where}.name")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}", name):
            self.fail(
                keys["name"].line,
                f"{where}.name",
                f"`{name}` cannot name a folder",
                "use at most 40 letters, digits, dots, hyphens, underscores, plus signs",
            )
        hours = HOURS_PER_MONTH
        if "provisioned_hours_per_month" in keys:
            given = keys["provisioned_hours_per_month"]
            hours = self.number(given, f"{where}.provisioned_hours_per_month", zero=True)
            if hours > HOURS_PER_MONTH:
                self.fail(
                    given.line,
                    f"{where}.provisioned_hours_per_month",
                    f"a month has {HOURS_PER_MONTH:g} hours, not {hours:g}",
                )
        return Variant(
            name=name,
            description=self.text(keys["description"], f"{where}.description").strip() if "description" in keys else "",
            parameters=self.parameters(keys["parameters"], f"{where}.parameters") if "parameters" in keys else {},
            scenario=self.overrides(keys["scenario"], f"{where}.scenario") if "scenario" in keys else {},
            idle_lifetime_ms=self.duration(keys["idle_lifetime"], f"{where}.idle_lifetime", zero=False)
            if "idle_lifetime" in keys
            else None,
            provisioned_hours_per_month=hours,
            settle_ms=self.duration(keys["settle"], f"{where}.settle", zero=True) if "settle" in keys else 0.0,
        )

    def parameters(self, node: Node, where: str) -> dict[str, str | Peak]:
        if not isinstance(node.value, dict):
            self.fail(node.line, where, f"must be a mapping, not {shown(node.plain())}", "write {InitStyle: lazy}")
        return {name: self.parameter(item, f"{where}.{name}") for name, item in node.value.items()}

    def parameter(self, node: Node, where: str) -> str | Peak:
        value = node.value
        if isinstance(value, dict):
            keys = self.mapping(node, where, (PEAK,))
            if PEAK not in keys:
                self.fail(node.line, where, "must not be empty", "write {$peak: 1.1}: a tenth above the peak")
            return Peak(self.number(keys[PEAK], f"{where}.{PEAK}", zero=False))
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return value
        if not isinstance(value, int | float) or not math.isfinite(value):
            self.fail(node.line, where, f"must be text or a number, not {shown(node.plain())}", "parameters are")
        return str(value)

    def overrides(self, node: Node, where: str) -> dict[str, Any]:
        allowed = tuple(key for key in SCENARIO_KEYS if key not in NOT_OVERRIDDEN)
        return {key: item.plain() for key, item in self.mapping(node, where, allowed).items()}

    def sensitivity(self, node: Node, names: list[str]) -> Sensitivity:
        keys = self.mapping(node, "sensitivity", SENSITIVITY_KEYS)
        for key in ("variant", "idle_lifetime"):
            if key not in keys:
                self.fail(
                    node.line, f"sensitivity.{key}", "is missing", "write {variant: warming, idle_lifetime: [5m, 45m]}"
                )
        where = "sensitivity.idle_lifetime"
        lifetimes = [self.duration(item, where, zero=False) for item in self.items(keys["idle_lifetime"], where)]
        repeat = self.integer(keys["repeat"], "sensitivity.repeat", 1, 100) if "repeat" in keys else 1
        variant = self.one_of(keys["variant"], "sensitivity.variant", names)
        return Sensitivity(variant, tuple(dict.fromkeys(lifetimes)), repeat)

    def one_of(self, node: Node, where: str, names: list[str]) -> str:
        name = self.text(node, where)
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean `{close[0]}`? " if close else ""
            self.fail(node.line, where, f"there is no variant `{name}`", f"{hint}variants: {', '.join(names)}")
        return name
