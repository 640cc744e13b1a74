"""HTTP APIs of stacks that are given as an OpenAPI body, which MiniStack takes and forgets.

* CloudFormation's `AWS::ApiGatewayV2::Api`: its Body becomes routes, integrations, authorizers and CORS settings, as
  `openapi_routes` reads them, by MiniStack's own calls; an update replaces those that an earlier body made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from serverless_lab.emulator import openapi_routes

API = "AWS::ApiGatewayV2::Api"


def install() -> None:
    from ministack.services.cloudformation import provisioners

    bodies = _Bodies()
    handler = provisioners._RESOURCE_HANDLERS[API]
    handler["create"] = bodies.importing(handler["create"])
    handler["update"] = bodies.importing_update(handler["update"])


@dataclass
class _Made:
    """What one API's body became: ids."""

    routes: list[str] = field(default_factory=list)
    integrations: list[str] = field(default_factory=list)
    authorizers: list[str] = field(default_factory=list)


class _Bodies:
    def __init__(self) -> None:
        self._made: dict[str, _Made] = {}

    def importing(self, create: Callable[..., Any]) -> Callable[..., Any]:
        def create_with_body(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
            api_id, attributes = create(logical_id, _described(props), stack_name)
            self._import(api_id, props)
            return api_id, attributes

        return create_with_body

    def importing_update(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def update_with_body(
            physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, logical_id: str | None = None
        ) -> Any:
            api_id, attributes = update(physical_id, _described(old), _described(new), stack_name, logical_id)
            self._import(api_id, new)
            return api_id, attributes

        return update_with_body

    def _import(self, api_id: str, props: dict[str, Any]) -> None:
        from ministack.services import apigateway

        before = self._made.pop(api_id, _Made())
        for route_id in before.routes:
            apigateway._delete_route(api_id, route_id)
        for integration_id in before.integrations:
            apigateway._delete_integration(api_id, integration_id)
        for authorizer_id in before.authorizers:
            apigateway._delete_authorizer(api_id, authorizer_id)
        document = _body(props)
        if document is None:
            return
        made = self._made[api_id] = _Made()
        by_name = {}
        for name, given in openapi_routes.authorizers(document).items():
            by_name[name] = _created(apigateway._create_authorizer(api_id, given), "authorizerId")
            made.authorizers.append(by_name[name])
        for found in openapi_routes.routes(document):
            integration = _created(apigateway._create_integration(api_id, found.integration), "integrationId")
            made.integrations.append(integration)
            route: dict[str, Any] = {
                "routeKey": found.key,
                "target": f"integrations/{integration}",
                "authorizationType": found.authorization_type,
            }
            if found.authorizer is not None:
                route["authorizerId"] = by_name[found.authorizer]
                route["authorizationScopes"] = list(found.scopes)
            made.routes.append(_created(apigateway._create_route(api_id, route), "routeId"))


def _body(props: dict[str, Any]) -> Mapping[str, Any] | None:
    body = props.get("Body")
    if isinstance(body, str):
        body = json.loads(body)
    return body if isinstance(body, Mapping) else None


def _described(props: dict[str, Any]) -> dict[str, Any]:
    """With the name and the CORS settings that the body has, where the resource has none of its own."""
    document = _body(props)
    if document is None:
        return props
    found: dict[str, Any] = {
        "Name": openapi_routes.title(document),
        "CorsConfiguration": openapi_routes.cors(document),
    }
    return {**{name: value for name, value in found.items() if value}, **props}


def _created(answer: tuple[int, dict[str, Any], bytes], id_name: str) -> str:
    status, _, body = answer
    if status >= 400:
        raise ValueError(f"{API}: its Body cannot be imported: {body.decode()}")
    return str(json.loads(body)[id_name])
