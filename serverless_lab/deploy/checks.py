"""What CloudFormation or Lambda would refuse of a template for the names in it, told before anything is sent.

Names that lead nowhere, misspelt properties, runtimes that Lambda does not have. Emulators take most of that silently.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from serverless_lab.deploy.intrinsics import evaluate
from serverless_lab.deploy.property_names import unknown_properties
from serverless_lab.deploy.references import dangling
from serverless_lab.errors import TemplateError

if TYPE_CHECKING:
    from serverless_lab.deploy.template import Template

FUNCTION_TYPES = ("AWS::Serverless::Function", "AWS::Lambda::Function")
IMAGE = "container image"
"""What stands for the runtime of a function that brings its own in an image."""

OFFERED = 6
_VERSIONED = re.compile(r"([a-z]+)(\d+(?:\.\d+)?)(.*)")
"""`python3.13` -> python, 3.13; `nodejs22.x` -> nodejs, 22, .x."""


def refuse_wrong_names(template: Template, values: Mapping[str, str]) -> None:
    """Look at all names of a template, with these values of its parameters.

    Raises:
        TemplateError: the first wrong one, with the one that was meant.
    """
    for wrong in dangling(template.document):
        where = f"{template.path}: Outputs" if wrong.logical_id is None else template.where(wrong.logical_id)
        hint = f"did you mean `{wrong.close}`?" if wrong.close else "it has no such parameter or resource"
        raise TemplateError(f"{where} refers to `{wrong.name}`, which the template does not have", hint=hint)
    for found in unknown_properties(template.resources):
        if found.close:
            where = f"{template.where(found.logical_id)}: {found.type_name}"
            raise TemplateError(f"{where} has no property `{found.path}`", hint=f"did you mean `{found.close}`?")
    for logical_id, runtime in function_runtimes(template, values).items():
        if runtime != IMAGE and not is_runtime(runtime):
            where = template.where(logical_id)
            raise TemplateError(f"{where}: Lambda has no runtime `{runtime}`", hint=meant(runtime))


def function_runtimes(template: Template, values: Mapping[str, str]) -> dict[str, str]:
    """The runtime of each function of a template, as far as it is known before the target is asked; or IMAGE."""
    scope = template.scope(values)
    found: dict[str, str] = {}
    for logical_id in template.of_type(*FUNCTION_TYPES):
        properties = template.properties(logical_id)
        if evaluate(properties.get("PackageType"), scope) == "Image" or "ImageUri" in properties:
            found[logical_id] = IMAGE
        elif isinstance(runtime := evaluate(properties.get("Runtime"), scope), str):
            found[logical_id] = runtime
    return found


@cache
def lambda_runtimes() -> tuple[str, ...]:
    """The identifiers that Lambda's API takes, outdated ones too, as botocore's model of it has them."""
    from botocore.loaders import Loader

    return tuple(Loader().load_service_model("lambda", "service-2")["shapes"]["Runtime"]["enum"])


def is_runtime(identifier: str) -> bool:
    """Whether Lambda has this runtime, or may have by now: one newer than all of its language, and named like them."""
    if identifier in lambda_runtimes():
        return True
    language = _language(identifier)
    if not language:
        return False
    (version, suffix), (newest, its_suffix) = _version(identifier), _version(language[0])
    return version > newest and suffix == its_suffix


def meant(identifier: str) -> str:
    """A hint for who asked for a runtime that there is not."""
    language = _language(identifier.lower())
    if language:
        return "it has " + ", ".join(language[:OFFERED])
    close = difflib.get_close_matches(identifier, lambda_runtimes(), n=1)
    return f"did you mean `{close[0]}`?" if close else "for example python3.13"


def _language(identifier: str) -> list[str]:
    """Lambda's runtimes of the same language, the newest first."""
    match = _VERSIONED.fullmatch(identifier)
    others = [(name, _VERSIONED.fullmatch(name)) for name in lambda_runtimes()]
    alike = [name for name, other in others if match and other and other[1] == match[1]]
    return sorted(alike, key=_version, reverse=True)


def _version(identifier: str) -> tuple[tuple[int, ...], str]:
    match = _VERSIONED.fullmatch(identifier)
    return ((), "") if match is None else (tuple(map(int, match[2].split("."))), match[3])
