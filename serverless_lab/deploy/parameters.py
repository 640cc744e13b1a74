"""What a template allows a parameter to be."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serverless_lab.deploy.intrinsics import as_text
from serverless_lab.project import bundled


def host_parameters(template: Path, target: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the bundled template's parameters are on this host, where they are not given: on AWS their defaults are."""
    if target != "local" or template.resolve() != bundled("handlers", "template.yaml").resolve():
        return {}
    from serverless_lab.emulator.runtimes import bundled_python

    runtime = bundled_python(environment)
    return {} if runtime is None else {"PythonRuntime": runtime}


def parameter_problem(declared: Mapping[str, Any], value: str) -> str | None:
    """What `value` would have to be; None when it is."""
    allowed = declared.get("AllowedValues")
    if isinstance(allowed, list) and value not in [as_text(item) for item in allowed]:
        return "allowed: " + ", ".join(as_text(item) for item in allowed)
    if declared.get("Type") == "Number":
        return _number_problem(value, declared.get("MinValue"), declared.get("MaxValue"))
    if declared.get("Type") == "String":
        return _string_problem(value, declared)
    return None


def _number_problem(value: str, minimum: Any, maximum: Any) -> str | None:
    try:
        number = float(value)
    except ValueError:
        return "it is a number"
    if minimum is not None and number < float(minimum):
        return f"at least {minimum}"
    if maximum is not None and number > float(maximum):
        return f"at most {maximum}"
    return None


def _string_problem(value: str, declared: Mapping[str, Any]) -> str | None:
    if len(value) < int(declared.get("MinLength", 0)):
        return f"at least {declared['MinLength']} characters"
    if "MaxLength" in declared and len(value) > int(declared["MaxLength"]):
        return f"at most {declared['MaxLength']} characters"
    pattern = declared.get("AllowedPattern")
    if isinstance(pattern, str):
        try:
            fits = re.fullmatch(pattern, value) is not None
        except re.error:
            return None  # CloudFormation's patterns are Java's: one that Python cannot read is left to the target.
        if not fits:
            return str(declared.get("ConstraintDescription") or f"it must match {pattern}")
    return None
