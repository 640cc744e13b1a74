"""What API Gateway makes of an OpenAPI document that an HTTP API is given as its body: routes, with what answers them.

documented: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-open-api.html and the pages of the
`x-amazon-apigateway-*` extensions that it leads to. SAM writes such a document for every AWS::Serverless::HttpApi.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
ANY_METHOD = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"
INTEGRATIONS = "x-amazon-apigateway-integrations"
AUTHORIZER = "x-amazon-apigateway-authorizer"
AUTHORIZATION_TYPE = "x-amazon-apigateway-authtype"
CORS = "x-amazon-apigateway-cors"
DEFAULT_ROUTE = "$default"


@dataclass(frozen=True)
class Route:
    """`key` is `GET /orders` or `$default`; `integration` has the API's names of its properties, not the document's.

    `authorization_type` is NONE, JWT, CUSTOM or AWS_IAM; `authorizer` names the security scheme it is from.
    """

    key: str
    integration: dict[str, Any]
    authorization_type: str = "NONE"
    authorizer: str | None = None
    scopes: tuple[str, ...] = ()


def routes(document: Mapping[str, Any]) -> Iterator[Route]:
    """Every operation of the document that has an integration."""
    for path, operations in (document.get("paths") or {}).items():
        for name, operation in (operations or {}).items():
            method = "ANY" if name == ANY_METHOD else name.upper() if name in METHODS else None
            if method is None or not isinstance(operation, Mapping) or INTEGRATION not in operation:
                continue
            key = DEFAULT_ROUTE if path.strip("/") == DEFAULT_ROUTE else f"{method} {path}"
            yield Route(key, _integration(operation[INTEGRATION], document), *_authorization(operation, document))


def authorizers(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Those of the document's security schemes, by their names there, with the API's names of their properties."""
    found = {}
    for name, scheme in _schemes(document).items():
        if AUTHORIZER in scheme:
            given = dict(scheme[AUTHORIZER])
            source = given.pop("identitySource", None)
            given["authorizerType"] = str(given.pop("type", "jwt")).upper()
            if source:
                given["identitySource"] = (
                    [item.strip() for item in source.split(",")] if isinstance(source, str) else list(source)
                )
            found[name] = {"name": name, **given}
    return found


def cors(document: Mapping[str, Any]) -> dict[str, Any] | None:
    found = document.get(CORS)
    return dict(found) if isinstance(found, Mapping) else None


def title(document: Mapping[str, Any]) -> str | None:
    found = (document.get("info") or {}).get("title")
    return found if isinstance(found, str) else None


def _integration(given: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in given:
        shared = (document.get("components") or {}).get(INTEGRATIONS) or {}
        given = shared.get(str(given["$ref"]).rpartition("/")[2]) or {}
    found: dict[str, Any] = {
        "integrationType": str(given.get("type", "aws_proxy")).upper(),
        "integrationUri": given.get("uri", ""),
        "integrationMethod": given.get("httpMethod", "POST"),
    }
    for name in ("payloadFormatVersion", "timeoutInMillis", "connectionType", "requestParameters"):
        if name in given:
            found[name] = str(given[name]) if name == "payloadFormatVersion" else given[name]
    return found


def _authorization(
    operation: Mapping[str, Any], document: Mapping[str, Any]
) -> tuple[str, str | None, tuple[str, ...]]:
    """The first security scheme that the operation asks for; its own list, even an empty one, hides the document's."""
    for asked in operation.get("security", document.get("security")) or ():
        for name, scopes in asked.items():
            scheme = _schemes(document).get(name) or {}
            if AUTHORIZER in scheme:
                is_jwt = str(scheme[AUTHORIZER].get("type", "jwt")).lower() == "jwt"
                return "JWT" if is_jwt else "CUSTOM", name, tuple(scopes or ()) if is_jwt else ()
            if str(scheme.get(AUTHORIZATION_TYPE, "")).lower() == "awssigv4":
                return "AWS_IAM", None, ()
    return "NONE", None, ()


def _schemes(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = (document.get("components") or {}).get("securitySchemes") or {}
    return found
