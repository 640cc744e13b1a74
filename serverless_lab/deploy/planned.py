"""What a template will make, as far as that costs something, before anything is deployed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serverless_lab import quotas
from serverless_lab.deploy.intrinsics import Scope, Special, condition_holds, evaluate
from serverless_lab.deploy.template import DEFAULT_ARCHITECTURE, LAMBDA_FUNCTION, SAM_FUNCTION, Template
from serverless_lab.project import DeployedFunction

_REST = frozenset({"AWS::Serverless::Api", "AWS::ApiGateway::RestApi", "Api"})
_HTTP = frozenset({"AWS::Serverless::HttpApi", "AWS::ApiGatewayV2::Api", "HttpApi"})
_MADE_OF = {"AWS::Serverless::SimpleTable": "AWS::DynamoDB::Table"}


@dataclass(frozen=True)
class Planned:
    """`functions` have their logical ids for names; `resources` are types; `api_type` is `rest`, `http` or None."""

    functions: tuple[DeployedFunction, ...]
    api_type: str | None
    resources: frozenset[str]


def planned(template: Template, values: Mapping[str, str]) -> Planned:
    """What `template` makes with these parameters. A size that it does not tell counts as the largest there is.

    Args:
        values: every parameter, as `Template.parameter_values` gives them.
    """
    scope = template.scope(values)
    there = {
        name: resource
        for name, resource in template.resources.items()
        if resource.get("Condition") is None or condition_holds(resource["Condition"], scope) is not False
    }
    functions = tuple(
        _function(name, template.properties(name), scope)
        for name, resource in there.items()
        if resource["Type"] in (SAM_FUNCTION, LAMBDA_FUNCTION)
    )
    types = {str(resource["Type"]) for resource in there.values()}
    words = types | set(_event_types(template, there, scope))
    api_type = "rest" if words & _REST else "http" if words & _HTTP else None
    return Planned(functions, api_type, frozenset(_MADE_OF.get(kind, kind) for kind in types))


def _function(logical_id: str, properties: Mapping[str, Any], scope: Scope) -> DeployedFunction:
    architectures = evaluate(properties.get("Architectures"), scope)
    is_named = isinstance(architectures, list) and architectures and isinstance(architectures[0], str)
    provisioned = evaluate(properties.get("ProvisionedConcurrencyConfig"), scope)
    kept = provisioned.get("ProvisionedConcurrentExecutions") if isinstance(provisioned, dict) else 0
    return DeployedFunction(
        logical_id=logical_id,
        name=logical_id,
        log_group=f"/aws/lambda/{logical_id}",
        memory_size_mb=_size(properties, "MemorySize", scope, quotas.MEMORY_DEFAULT_MB, quotas.MEMORY_MAX_MB),
        timeout_s=_size(properties, "Timeout", scope, quotas.FUNCTION_TIMEOUT_DEFAULT_S, quotas.FUNCTION_TIMEOUT_MAX_S),
        runtime="",
        architecture=str(architectures[0]) if is_named else DEFAULT_ARCHITECTURE,
        provisioned_environments=_number(kept, 0),
    )


def _size(properties: Mapping[str, Any], name: str, scope: Scope, default: int, largest: int) -> int:
    value = evaluate(properties.get(name), scope)
    return default if value is None or value is Special.NO_VALUE else _number(value, largest)


def _number(value: Any, otherwise: int) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return otherwise


def _event_types(template: Template, there: Mapping[str, Any], scope: Scope) -> Iterator[str]:
    for name, resource in there.items():
        if resource["Type"] == SAM_FUNCTION:
            events = evaluate(template.properties(name).get("Events"), scope)
            for event in events.values() if isinstance(events, dict) else ():
                if isinstance(event, dict):
                    yield str(event.get("Type"))
