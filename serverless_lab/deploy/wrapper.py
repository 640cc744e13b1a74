"""A module that is put beside a function's code where the target's own log does not tell a cold start.

LocalStack and MiniStack print no Init Duration. So the function's Handler becomes that of the added module, which
imports the real one, and prints a line for the init and one for the first invocation: wrapped/ has the modules, and
coldstarts/wrapper_lines.py reads what they print. The real handler's name goes into an environment variable, as the
template says it, so that the target resolves what is in it. No file of the user's package is changed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serverless_lab.deploy.intrinsics import intrinsic
from serverless_lab.deploy.template import Artifact, ArtifactKind, Template
from serverless_lab.targets.base import Capabilities

MODULE = "_serverless_lab_init"
HANDLER = f"{MODULE}.handler"
HANDLER_VARIABLE = "LAB_HANDLER"
LINES_VARIABLE = "LAB_WRAPPER_LINES"
LINES_ALL = "all"
RESERVED_VARIABLES = (HANDLER_VARIABLE, LINES_VARIABLE)

FILES = Path(__file__).with_name("wrapped")
ENDINGS = {"python": ".py", "nodejs": ".mjs"}


@dataclass(frozen=True)
class Wrapping:
    """Which functions get the module, by logical id, with its file; and why others do not, in sentences."""

    files: Mapping[str, Path]
    tells_all: bool
    notes: tuple[str, ...] = ()

    def apply(self, document: dict[str, Any], template: Template) -> None:
        """Let each of these functions of `document` begin with the added module."""
        for logical_id in self.files:
            declared = template.properties(logical_id)
            properties = document["Resources"][logical_id]["Properties"]
            properties["Handler"] = HANDLER
            variables = {HANDLER_VARIABLE: copy.deepcopy(declared["Handler"])}
            if self.tells_all:
                variables[LINES_VARIABLE] = LINES_ALL
            environment = dict(properties.get("Environment") or {})
            environment["Variables"] = {**(environment.get("Variables") or {}), **variables}
            properties["Environment"] = environment


def wants_wrapper(capabilities: Capabilities, asked: bool | None) -> bool:
    """Whether functions are wrapped: as the user said, else where the target prints no Init Duration."""
    return not capabilities.reports_init_duration if asked is None else asked


def plan(template: Template, artifacts: tuple[Artifact, ...], *, tells_all: bool) -> Wrapping:
    """Which of the template's functions can be wrapped.

    Args:
        tells_all: a line for every invocation, for a target where a log stream is not an environment.
    """
    packed = {artifact.logical_id: artifact for artifact in artifacts if artifact.kind is ArtifactKind.FUNCTION}
    files: dict[str, Path] = {}
    notes = []
    for logical_id in template.of_type("AWS::Serverless::Function", "AWS::Lambda::Function"):
        reason = _refusal(template, logical_id, packed.get(logical_id))
        if reason is None:
            runtime = packed[logical_id].runtime or ""
            ending = next(found for name, found in ENDINGS.items() if runtime.startswith(name))
            files[logical_id] = FILES / f"{MODULE}{ending}"
        else:
            notes.append(f"`{logical_id}` is not wrapped, {reason}: its cold starts may not be told")
    return Wrapping(files, tells_all, tuple(notes))


def original_handler(configuration: Mapping[str, Any]) -> str | None:
    """The real handler of a wrapped function as Lambda's API describes it; None where it is not wrapped."""
    if configuration.get("Handler") != HANDLER:
        return None
    found = ((configuration.get("Environment") or {}).get("Variables") or {}).get(HANDLER_VARIABLE)
    return None if found is None else str(found)


def _refusal(template: Template, logical_id: str, artifact: Artifact | None) -> str | None:
    """Why a function cannot be wrapped; None when it can."""
    if artifact is None:
        return "as its code is no folder or zip of this machine"
    if not (artifact.runtime or "").startswith(tuple(ENDINGS)):
        return f"as its runtime is {artifact.runtime or 'not known before it is deployed'}"
    properties = template.properties(logical_id)
    if "Handler" not in properties:
        return "as it names no Handler"
    environment = properties.get("Environment")
    variables = environment.get("Variables") if isinstance(environment, dict) else None
    if environment is not None and (intrinsic(environment) or not isinstance(environment, dict)):
        return "as its Environment is an intrinsic function"
    if variables is not None and (intrinsic(variables) or not isinstance(variables, dict)):
        return "as its environment variables are an intrinsic function"
    taken = [name for name in RESERVED_VARIABLES if name in (variables or {})]
    return f"as it has an environment variable {taken[0]} of its own" if taken else None
