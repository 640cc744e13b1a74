"""What is done to a template here, for an emulator that cannot do it to a template that AWS takes.

Seen on LocalStack 4.8.1: the resources are read before the SAM transform is applied, so a `!Ref Function.Alias` in a
resource of another kind is refused ("Unresolved resource dependencies"); and the properties of a resource whose
condition is false are evaluated, so a reference between two such resources fails ("No deployed instances"). A
standalone MiniStack lacks the transform where aws-sam-translator is not installed beside it.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from serverless_lab.deploy.intrinsics import Scope, condition_holds, intrinsic
from serverless_lab.errors import DeployError

if TYPE_CHECKING:
    import boto3

SAM_TRANSFORM = "AWS::Serverless-2016-10-31"


def wants_sam(document: Mapping[str, Any]) -> bool:
    """Whether SAM's transform is the only one the template asks for."""
    wanted = document.get("Transform")
    return (wanted if isinstance(wanted, list) else [wanted]) == [SAM_TRANSFORM]


def apply_sam(document: Mapping[str, Any], parameters: Mapping[str, str], session: boto3.Session) -> dict[str, Any]:
    """The template as CloudFormation has it after the transform, by the translator that AWS itself uses.

    Raises:
        DeployError: the translator finds fault with the template.
    """
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator
    from samtranslator.utils.py27hash_fix import to_py27_compatible_template, undo_mark_unicode_str_in_template

    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # its warnings are for the service's operators
    # The translator changes what it is given. Its logical ids hash the template as Python 2 did, like the service's.
    fragment, values = copy.deepcopy(dict(document)), dict(parameters)
    to_py27_compatible_template(fragment, values)
    try:
        # No IAM is asked for the managed policies: their names are in the translator.
        translated = Translator({}, Parser(), boto_session=session).translate(fragment, parameter_values=values)
    except InvalidDocumentException as error:
        causes = "; ".join(cause.message for cause in error.causes)
        raise DeployError(f"the SAM transform: {causes}", hint="mend the template, then deploy again") from error
    transformed: dict[str, Any] = undo_mark_unicode_str_in_template(translated)
    transformed.pop("Transform", None)
    return transformed


def without_absent(document: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """The template without what its conditions leave out, as far as the parameters tell that.

    Resources and outputs whose condition is false are gone, and an `Fn::If` is the branch that holds.
    """
    reduced: dict[str, Any] = {}
    for section, entries in document.items():
        if section not in ("Resources", "Outputs", "Globals") or not isinstance(entries, dict):
            reduced[section] = copy.deepcopy(entries)
            continue
        present = {name: entry for name, entry in entries.items() if not _is_absent(entry, scope)}
        reduced[section] = {name: _chosen(entry, scope) for name, entry in present.items()}
    for resource in reduced.get("Resources", {}).values():
        if isinstance(resource, dict) and "DependsOn" in resource:
            _depend_on_present(resource, reduced["Resources"])
    return reduced


def _is_absent(entry: Any, scope: Scope) -> bool:
    name = entry.get("Condition") if isinstance(entry, dict) else None
    return isinstance(name, str) and condition_holds(name, scope) is False


def _chosen(value: Any, scope: Scope) -> Any:
    if isinstance(value, list):
        return [_chosen(item, scope) for item in value]
    if not isinstance(value, dict):
        return value
    if intrinsic(value) == "Fn::If" and isinstance(value["Fn::If"], list) and len(value["Fn::If"]) == 3:
        name, when_true, when_false = value["Fn::If"]
        holds = condition_holds(name, scope)
        if holds is not None:
            return _chosen(when_true if holds else when_false, scope)
    return {name: _chosen(item, scope) for name, item in value.items()}


def _depend_on_present(resource: dict[str, Any], resources: Mapping[str, Any]) -> None:
    given = resource.pop("DependsOn")
    names = [name for name in ([given] if isinstance(given, str) else given) if name in resources]
    if names:
        resource["DependsOn"] = names
