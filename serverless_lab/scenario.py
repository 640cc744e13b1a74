"""scenarios/*.yaml -> frozen dataclasses: the one place that validates them.

A scenario says what arrives and when, not how many users wait for each other. `docs/scenarios.md` explains every key,
`scenario.schema.json` beside this module says the same to editors. Nothing here looks at a clock or rolls a die:
`load/arrivals.py` turns a scenario and a seed into a schedule, `load/templates.py` into requests.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeAlias

from serverless_lab.errors import ScenarioError
from serverless_lab.located_yaml import Checker, Node, read_nodes, shown, wrapped
from serverless_lab.project import bundled

DEFAULT_SEED = 1
DEFAULT_CLIENT_TIMEOUT_MS = 10_000.0
MAX_REQUESTS = 5_000_000  # what one machine can schedule and keep in memory; more is a typing error

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
SUFFIXES = (".yaml", ".yml")

SCENARIO_KEYS = (
    "name",
    "description",
    "seed",
    "quiet",
    "client_timeout",
    "phases",
    "clients",
    "requests",
    "think_time",
    "mix",
)
PHASE_KEYS = ("name", "start", "duration", "law", "count", "rate", "time_constant")
RAMP_KEYS = ("from", "to")
REQUEST_KEYS = ("request", "headers", "query", "body", "expect")
ENTRY_KEYS = (*REQUEST_KEYS, "weight", "values")
SESSION_KEYS = ("session", "weight", "values", "steps")
PAUSE_KEYS = ("think_time",)
PARALLEL_KEYS = ("parallel",)
GENERATORS = ("$uuid", "$int", "$float", "$choice", "$string", "$now", "$index", "$value", "$format")
NOW_FORMATS = ("iso", "epoch_ms", "epoch_s")

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None


class Law(StrEnum):
    """How the arrivals of a phase are spread over it."""

    POISSON = "poisson"
    UNIFORM = "uniform"
    BURST = "burst"
    FRONT_LOADED = "front-loaded"


@dataclass(frozen=True)
class Ramp:
    """A rate that changes in a straight line over its phase, in arrivals per second."""

    from_per_s: float
    to_per_s: float

    def total(self, duration_ms: float) -> float:
        """How many arrivals are expected in `duration_ms`."""
        return (self.from_per_s + self.to_per_s) / 2 * duration_ms / 1000


@dataclass(frozen=True)
class Phase:
    """A stretch of arrivals. Exactly one of `count` and `rate` is set; phases may overlap."""

    name: str
    start_ms: float
    duration_ms: float
    law: Law
    count: int | None = None
    rate: Ramp | None = None
    time_constant_ms: float | None = None

    @property
    def expected(self) -> float:
        if self.count is not None:
            return float(self.count)
        return self.rate.total(self.duration_ms) if self.rate else 0.0


@dataclass(frozen=True)
class Request:
    """One HTTP request. `path`, `headers`, `query` and `body` are templates; `expect` None means 2xx and 3xx."""

    method: str
    path: str
    headers: Mapping[str, JSON] = field(default_factory=dict)
    query: Mapping[str, JSON] = field(default_factory=dict)
    body: JSON = None
    expect: frozenset[int] | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def accepts(self, status_code: int) -> bool:
        return status_code in self.expect if self.expect else 200 <= status_code < 400


@dataclass(frozen=True)
class Step:
    """Requests sent at the same instant, `think_time_ms` after the step before has ended."""

    requests: tuple[Request, ...]
    think_time_ms: float = 0.0


@dataclass(frozen=True)
class MixEntry:
    """What one arrival does: one request, or a session of several steps. `values` are drawn once per arrival."""

    name: str
    weight: float
    steps: tuple[Step, ...]
    values: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def request_count(self) -> int:
        return sum(len(step.requests) for step in self.steps)

    @property
    def width(self) -> int:
        """The largest number of requests one arrival has open at once."""
        return max(len(step.requests) for step in self.steps)


@dataclass(frozen=True)
class Scenario:
    """What arrives and when. Open model: `phases`. Closed model: `clients` share `requests`, each waits for its reply.

    `document` is the scenario as plain data: `parse_document` of it gives the same scenario again.
    """

    name: str
    description: str
    seed: int
    model: Literal["open", "closed"]
    mix: tuple[MixEntry, ...]
    phases: tuple[Phase, ...] = ()
    clients: int = 0
    requests: int = 0
    think_time_ms: float = 0.0
    quiet_ms: float = 0.0
    client_timeout_ms: float = DEFAULT_CLIENT_TIMEOUT_MS
    source: str = ""
    document: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def duration_ms(self) -> float:
        """When the last phase ends; 0 for a closed scenario, which ends when its requests are answered."""
        return max((phase.start_ms + phase.duration_ms for phase in self.phases), default=0.0)

    def requests_by_name(self) -> dict[str, Request]:
        """Each request of the mix by its name, as it stands in reports."""
        return {request.name: request for entry in self.mix for step in entry.steps for request in step.requests}


# Finding scenarios


def known_scenarios(directory: Path | None = None) -> dict[str, Path]:
    """Scenario name -> file, local ones (./scenarios) before the bundled ones, in order of name."""
    found: dict[str, Path] = {}
    for folder in (bundled("scenarios", "."), (directory or Path.cwd()) / "scenarios"):
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if path.suffix in SUFFIXES and not _has_variants(path):
                found[path.stem] = path
    return dict(sorted(found.items()))


_VARIANTS = re.compile(rb"^variants[ \t]*:", re.MULTILINE)


def _has_variants(path: Path) -> bool:
    """Whether a file beside the scenarios is one of variants instead, which `lab compare` reads."""
    try:
        return _VARIANTS.search(path.read_bytes()) is not None
    except OSError:
        return False  # whoever asks for it is told


def find_scenario(name: str, directory: Path | None = None) -> Path:
    """The file of scenario `name`: a path, ./scenarios/<name>.yaml, or one that ships with lab.

    Raises:
        ScenarioError: there is none; the hint lists those there are.
    """
    base = directory or Path.cwd()
    if "/" in name or name.endswith(SUFFIXES):
        path = base / name
        if path.is_file():
            return path
        raise ScenarioError(f"no scenario file `{name}`", hint=_known_hint(name, known_scenarios(base)))
    known = known_scenarios(base)
    if name in known:
        return known[name]
    raise ScenarioError(f"no scenario `{name}`", hint=_known_hint(name, known))


def load_scenario(name: str, directory: Path | None = None) -> Scenario:
    """The scenario called `name`, or in the file `name`.

    Raises:
        ScenarioError: not found, not YAML, or not a scenario; the message has file and line.
    """
    path = find_scenario(name, directory)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path} cannot be read: {error}", hint="a scenario is a YAML file in UTF-8") from error
    return parse_scenario(text, source=str(_shortest(path)))


def _shortest(path: Path) -> Path:
    try:
        return path.resolve().relative_to(Path.cwd())
    except (ValueError, OSError):
        return path


def _known_hint(name: str, known: Mapping[str, Path]) -> str:
    close = difflib.get_close_matches(Path(name).stem, known, n=1)
    listed = ", ".join(known) or "none"
    return (f"did you mean `{close[0]}`? " if close else "") + f"known scenarios: {listed}; or give a path: ./my.yaml"


# Reading


def parse_scenario(text: str, source: str) -> Scenario:
    """The scenario in YAML `text`; `source` names it in messages, and its stem is the scenario's default name.

    Raises:
        ScenarioError: with `source:line:` and the field.
    """
    return _Parser(source).scenario(read_nodes(text, source))


def parse_document(document: Mapping[str, Any], source: str) -> Scenario:
    """The scenario in plain data, for instance `scenario_document` of a run's manifest."""
    return _Parser(source).scenario(wrapped(dict(document)))


# Validating

_PLACEHOLDER = re.compile(r"{([A-Za-z_][A-Za-z0-9_]*)}")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def placeholders(text: str) -> list[str]:
    """The names in braces in a path or `$format` text."""
    return _PLACEHOLDER.findall(text)


def split_request(text: str) -> tuple[str, str] | None:
    """Method and path of `POST /events`; None when it is not of that form."""
    parts = text.split()
    if len(parts) != 2 or parts[0].upper() not in METHODS or not parts[1].startswith("/"):
        return None
    return parts[0].upper(), parts[1]


def with_request(scenario: Scenario, request: str, body: JSON = None) -> Scenario:
    """`scenario` with its mix replaced by one request, `GET /hello`, for a user's own API.

    Raises:
        ScenarioError: `request` is not a method and a path.
    """
    if split_request(request) is None:
        raise ScenarioError(
            f"`{request}` is not a request", hint="write a method and a path, as in --request 'GET /hello'"
        )
    entry: dict[str, Any] = {"request": request}
    if body is not None:
        entry["body"] = body
    return parse_document({**scenario.document, "mix": [entry]}, scenario.source)


def with_seed(scenario: Scenario, seed: int) -> Scenario:
    return replace(scenario, seed=seed, document={**scenario.document, "seed": seed})


class _Parser(Checker):
    """One pass over the tree; the first thing wrong ends it."""

    # The scenario

    def scenario(self, root: Node) -> Scenario:
        top = self.mapping(root, "scenario", SCENARIO_KEYS)
        if "mix" not in top:
            self.fail(root.line, "mix", "is missing", "add what to send: mix: [{request: POST /events}]")
        values: dict[str, Any] = {"source": self.source, "document": root.plain()}
        values["name"] = self.text(top["name"], "name") if "name" in top else Path(self.source).stem
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", values["name"]):
            line = top["name"].line if "name" in top else None
            self.fail(
                line,
                "name",
                f"`{values['name']}` cannot name a folder",
                "use letters, digits, dots, hyphens, underscores",
            )
        values["description"] = self.text(top["description"], "description").strip() if "description" in top else ""
        values["seed"] = self.integer(top["seed"], "seed", 0, 2**63 - 1) if "seed" in top else DEFAULT_SEED
        if "quiet" in top:
            values["quiet_ms"] = self.duration(top["quiet"], "quiet", zero=True)
        if "client_timeout" in top:
            values["client_timeout_ms"] = self.duration(top["client_timeout"], "client_timeout", zero=False)
        values["mix"] = self.mix(top["mix"])
        # The document carries the name, so that it means the same without its file.
        values["document"] = {"name": values["name"], **values["document"]}
        if "phases" in top:
            for key in ("clients", "requests", "think_time"):
                if key in top:
                    self.fail(
                        root.key_lines.get(key),
                        key,
                        "belongs to a closed scenario, and this one has `phases`",
                        "keep `phases` (arrivals do not wait) or `clients` and `requests` (each client waits)",
                    )
            return Scenario(model="open", phases=self.phases(top["phases"], values["mix"]), **values)
        if "clients" not in top and "requests" not in top:
            self.fail(
                root.line,
                "phases",
                "is missing",
                "add `phases` (arrivals do not wait) or `clients` and `requests` (each client waits for its reply)",
            )
        for key in ("clients", "requests"):
            if key not in top:
                self.fail(root.line, key, "is missing", "a closed scenario has `clients` and `requests`")
        requests = self.integer(top["requests"], "requests", 1, MAX_REQUESTS)
        clients = self.integer(top["clients"], "clients", 1, 10_000)
        if clients > requests:
            self.fail(top["clients"].line, "clients", f"{clients} clients cannot share {requests} requests")
        for entry in values["mix"]:
            if entry.request_count != 1:
                self.fail(
                    top["mix"].line,
                    "mix",
                    f"session `{entry.name}` cannot be part of a closed scenario",
                    "sessions arrive by themselves: use `phases`",
                )
        think = self.duration(top["think_time"], "think_time", zero=True) if "think_time" in top else 0.0
        return Scenario(model="closed", clients=clients, requests=requests, think_time_ms=think, **values)

    def phases(self, node: Node, mix: tuple[MixEntry, ...]) -> tuple[Phase, ...]:
        phases: list[Phase] = []
        next_start = 0.0
        total = 0.0
        for number, item in enumerate(self.items(node, "phases")):
            phase = self.phase(item, f"phases[{number}]", number, next_start)
            if any(phase.name == other.name for other in phases):
                self.fail(item.line, f"phases[{number}].name", f"two phases are called `{phase.name}`")
            next_start = phase.start_ms + phase.duration_ms
            total += phase.expected * max(entry.request_count for entry in mix)
            if total > MAX_REQUESTS:
                self.fail(
                    item.line,
                    f"phases[{number}]",
                    f"{total:,.0f} requests are more than {MAX_REQUESTS:,}",
                    "shorten the phase or lower its rate",
                )
            phases.append(phase)
        return tuple(phases)

    def phase(self, node: Node, where: str, number: int, default_start: float) -> Phase:
        keys = self.mapping(node, where, PHASE_KEYS)
        law = Law.POISSON
        if "law" in keys:
            try:
                law = Law(keys["law"].value)
            except ValueError:
                said = str(keys["law"].plain())
                close = difflib.get_close_matches(said, list(Law), n=1)
                hint = f"did you mean `{close[0]}`? " if close else ""
                self.fail(keys["law"].line, f"{where}.law", f"unknown law `{said}`", f"{hint}laws: {', '.join(Law)}")
        name = self.text(keys["name"], f"{where}.name") if "name" in keys else f"phase {number + 1}"
        start = self.duration(keys["start"], f"{where}.start", zero=True) if "start" in keys else default_start

        def refuse(key: str, why: str) -> None:
            if key in keys:
                self.fail(node.key_lines.get(key, node.line), f"{where}.{key}", why)

        if law is not Law.FRONT_LOADED:
            refuse("time_constant", f"only the law {Law.FRONT_LOADED} has a time constant, not {law}")
        if law is Law.BURST:
            refuse("duration", "a burst is one instant and has no duration")
        if law in (Law.BURST, Law.FRONT_LOADED):
            refuse("rate", f"the law {law} needs `count`")
        if ("count" in keys) == ("rate" in keys):
            what = "`count`" if law in (Law.BURST, Law.FRONT_LOADED) else "either `count` or `rate`"
            self.fail(node.line, where, f"needs {what}", "count: 360 (exactly that many) or rate: 6 (per second)")
        duration = 0.0
        if law is not Law.BURST:
            if "duration" not in keys:
                self.fail(node.line, f"{where}.duration", "is missing", "add duration: 60s")
            duration = self.duration(keys["duration"], f"{where}.duration", zero=False)
        time_constant = None
        if law is Law.FRONT_LOADED:
            if "time_constant" not in keys:
                self.fail(
                    node.line,
                    f"{where}.time_constant",
                    "is missing",
                    "add time_constant: 5s (after it, the rate has fallen to 37 %)",
                )
            time_constant = self.duration(keys["time_constant"], f"{where}.time_constant", zero=False)
        return Phase(
            name=name,
            start_ms=start,
            duration_ms=duration,
            law=law,
            count=self.integer(keys["count"], f"{where}.count", 1, MAX_REQUESTS) if "count" in keys else None,
            rate=self.rate(keys["rate"], f"{where}.rate") if "rate" in keys else None,
            time_constant_ms=time_constant,
        )

    def rate(self, node: Node, where: str) -> Ramp:
        if isinstance(node.value, dict):
            keys = self.mapping(node, where, RAMP_KEYS)
            for key in RAMP_KEYS:
                if key not in keys:
                    self.fail(node.line, f"{where}.{key}", "is missing", "a ramp is written {from: 1, to: 50}")
            ramp = Ramp(*(self.number(keys[key], f"{where}.{key}", zero=True) for key in RAMP_KEYS))
            if ramp.from_per_s + ramp.to_per_s == 0:
                self.fail(node.line, where, "a ramp from 0 to 0 sends nothing")
            return ramp
        rate = self.number(node, where, zero=False)
        return Ramp(rate, rate)

    # The mix

    def mix(self, node: Node) -> tuple[MixEntry, ...]:
        return tuple(self.entry(item, f"mix[{number}]") for number, item in enumerate(self.items(node, "mix")))

    def entry(self, node: Node, where: str) -> MixEntry:
        is_session = isinstance(node.value, dict) and ("session" in node.value or "steps" in node.value)
        keys = self.mapping(node, where, SESSION_KEYS if is_session else ENTRY_KEYS)
        weight = self.number(keys["weight"], f"{where}.weight", zero=False) if "weight" in keys else 1.0
        values: dict[str, JSON] = {}
        if "values" in keys:
            given = keys["values"]
            if not isinstance(given.value, dict):
                self.fail(given.line, f"{where}.values", "must be a mapping of names to generators")
            for name, item in given.value.items():
                if not _PLACEHOLDER.fullmatch(f"{{{name}}}"):
                    self.fail(item.line, f"{where}.values", f"`{name}` cannot be a name", "use letters, digits and _")
                # A value may use those above it, never itself.
                values[name] = self.template(item, f"{where}.values.{name}", values)
        if not is_session:
            request = self.request(node, where, values, ENTRY_KEYS)
            return MixEntry(request.name, weight, (Step((request,)),), values)
        if "session" not in keys or "steps" not in keys:
            missing = "steps" if "session" in keys else "session"
            self.fail(node.line, f"{where}.{missing}", "is missing", "a session has a name and steps")
        steps = self.steps(keys["steps"], f"{where}.steps", values)
        return MixEntry(self.text(keys["session"], f"{where}.session"), weight, steps, values)

    def steps(self, node: Node, where: str, values: Mapping[str, JSON]) -> tuple[Step, ...]:
        steps: list[Step] = []
        pause = 0.0
        for number, item in enumerate(self.items(node, where)):
            here = f"{where}[{number}]"
            if isinstance(item.value, dict) and "think_time" in item.value:
                keys = self.mapping(item, here, PAUSE_KEYS)
                pause += self.duration(keys["think_time"], f"{here}.think_time", zero=True)
                continue
            if isinstance(item.value, dict) and "parallel" in item.value:
                keys = self.mapping(item, here, PARALLEL_KEYS)
                group = self.items(keys["parallel"], f"{here}.parallel")
                requests = tuple(
                    self.request(child, f"{here}.parallel[{n}]", values, REQUEST_KEYS) for n, child in enumerate(group)
                )
            else:
                requests = (self.request(item, here, values, REQUEST_KEYS),)
            steps.append(Step(requests, pause))
            pause = 0.0
        if not steps:
            self.fail(node.line, where, "a session must send something", "add a step: {request: GET /reports/daily}")
        return tuple(steps)

    def request(self, node: Node, where: str, values: Mapping[str, JSON], allowed: tuple[str, ...]) -> Request:
        keys = self.mapping(node, where, allowed)
        if "request" not in keys:
            self.fail(node.line, f"{where}.request", "is missing", "add request: POST /events")
        text = self.text(keys["request"], f"{where}.request")
        split = split_request(text)
        if split is None:
            self.fail(
                keys["request"].line, f"{where}.request", f"`{text}` is not a method and a path", "write POST /events"
            )
        method, path = split
        self.names(path, keys["request"].line, f"{where}.request", values)
        expect = self.expect(keys["expect"], f"{where}.expect") if "expect" in keys else None
        headers = self.pairs(keys.get("headers"), f"{where}.headers", values)
        for name, value in headers.items():
            # A line break in a header would start another header, or another request.
            if not _HEADER_NAME.fullmatch(name) or any(map(_CONTROL.search, _strings(value))):
                self.fail(keys["headers"].line, f"{where}.headers", f"`{name}` is not a header that can be sent")
        return Request(
            method=method,
            path=path,
            headers=headers,
            query=self.pairs(keys.get("query"), f"{where}.query", values),
            body=self.template(keys["body"], f"{where}.body", values) if "body" in keys else None,
            expect=expect,
        )

    def pairs(self, node: Node | None, where: str, values: Mapping[str, JSON]) -> dict[str, JSON]:
        if node is None:
            return {}
        if not isinstance(node.value, dict):
            self.fail(node.line, where, f"must be a mapping, not {shown(node.plain())}")
        return {name: self.template(item, f"{where}.{name}", values) for name, item in node.value.items()}

    def expect(self, node: Node, where: str) -> frozenset[int]:
        codes = node.value if isinstance(node.value, list) else [node]
        if not codes:
            self.fail(node.line, where, "must name at least one status code")
        return frozenset(self.integer(code, where, 100, 599) for code in codes)

    # Templates

    def names(self, text: str, line: int | None, where: str, values: Mapping[str, JSON]) -> None:
        for name in placeholders(text):
            if name not in values:
                known = ", ".join(values) or "none"
                self.fail(line, where, f"`{{{name}}}` is not among `values`", f"values there are: {known}")

    def template(self, node: Node, where: str, values: Mapping[str, JSON]) -> JSON:
        value = node.value
        if isinstance(value, dict):
            special = [key for key in value if key.startswith("$")]
            if special:
                if len(value) != 1:
                    self.fail(node.line, where, f"`{special[0]}` must stand alone in its mapping")
                self.generator(special[0], value[special[0]], where, values)
                plain: JSON = node.plain()
                return plain
            return {key: self.template(item, f"{where}.{key}", values) for key, item in value.items()}
        if isinstance(value, list):
            return [self.template(item, f"{where}[{number}]", values) for number, item in enumerate(value)]
        if isinstance(value, float) and not math.isfinite(value):
            self.fail(node.line, where, f"JSON has no {value}")
        if value is not None and not isinstance(value, bool | int | float | str):
            self.fail(node.line, where, f"JSON has no {type(value).__name__}", "quote it")
        return value

    def generator(self, name: str, node: Node, where: str, values: Mapping[str, JSON]) -> None:
        """Refuses a generator that could not be drawn from."""
        here = f"{where}.{name}"
        value = node.value
        match name:
            case "$uuid" | "$index":
                if value is not True:
                    self.fail(node.line, here, f"must be true, not {shown(node.plain())}", f"write {{{name}: true}}")
            case "$int" | "$float":
                bounds = node.plain()
                kind = int if name == "$int" else (int, float)
                good = (
                    isinstance(bounds, list)
                    and len(bounds) == 2
                    and all(isinstance(bound, kind) and not isinstance(bound, bool) for bound in bounds)
                )
                if not good or not all(map(math.isfinite, bounds)) or bounds[0] > bounds[1]:
                    self.fail(
                        node.line,
                        here,
                        f"must be [lowest, highest], not {shown(bounds)}",
                        f"write {{{name}: [1, 100]}}",
                    )
            case "$choice":
                if isinstance(value, dict) and value:
                    for choice, weight in value.items():
                        self.number(weight, f"{here}.{choice}", zero=False)
                else:
                    for number, item in enumerate(self.items(node, here)):
                        self.template(item, f"{here}[{number}]", values)
            case "$string":
                self.integer(node, here, 0, 1_000_000)
            case "$now":
                if value not in NOW_FORMATS:
                    self.fail(node.line, here, f"unknown format {shown(value)}", f"formats: {', '.join(NOW_FORMATS)}")
            case "$value":
                if value not in values:
                    known = ", ".join(values) or "none"
                    self.fail(node.line, here, f"{shown(value)} is not among `values`", f"values there are: {known}")
            case "$format":
                self.names(self.text(node, here), node.line, here, values)
            case _:
                close = difflib.get_close_matches(name, GENERATORS, n=1)
                hint = f"did you mean `{close[0]}`? " if close else ""
                self.fail(
                    node.line, where, f"unknown generator `{name}`", hint + f"generators: {', '.join(GENERATORS)}"
                )


def _strings(value: JSON) -> list[str]:
    """Every text inside a template."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return [text for item in value for text in _strings(item)] if isinstance(value, list) else []
