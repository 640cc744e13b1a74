"""HTTP APIs whose routes stand in an OpenAPI body, as SAM writes one for every AWS::Serverless::HttpApi."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from serverless_lab.emulator.openapi_routes import Route, authorizers, cors, routes, title
from tests.emulator.conftest import Emulator

ARN = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:{}"
PROXY = {"type": "aws_proxy", "httpMethod": "POST", "uri": ARN.format("f"), "payloadFormatVersion": "2.0"}
OF_API = {
    "integrationType": "AWS_PROXY",
    "integrationUri": PROXY["uri"],
    "integrationMethod": "POST",
    "payloadFormatVersion": "2.0",
}


def document(operation: dict[str, Any], path: str = "/orders", method: str = "get", **more: Any) -> dict[str, Any]:
    return {"paths": {path: {method: {"x-amazon-apigateway-integration": PROXY, **operation}}}, **more}


@pytest.mark.parametrize(
    ("path", "method", "key"),
    [
        ("/orders/{id}", "post", "POST /orders/{id}"),
        ("/{proxy+}", "x-amazon-apigateway-any-method", "ANY /{proxy+}"),
        ("/$default", "x-amazon-apigateway-any-method", "$default"),
        ("$default", "x-amazon-apigateway-any-method", "$default"),
    ],
)
def test_every_operation_with_an_integration_is_a_route(path: str, method: str, key: str):
    assert list(routes(document({}, path, method))) == [Route(key, OF_API)]


def test_what_is_no_operation_or_has_no_integration_is_no_route():
    assert list(routes({"paths": {"/a": {"parameters": [], "get": {"responses": {}}}, "/b": None}})) == []
    assert list(routes({})) == []


def test_operations_may_share_an_integration():
    shared = document(
        {"x-amazon-apigateway-integration": {"$ref": "#/components/x-amazon-apigateway-integrations/one"}}
    )
    shared["components"] = {"x-amazon-apigateway-integrations": {"one": PROXY}}
    assert list(routes(shared)) == [Route("GET /orders", OF_API)]


JWT = {
    "type": "oauth2",
    "x-amazon-apigateway-authorizer": {
        "type": "jwt",
        "identitySource": "$request.header.Authorization",
        "jwtConfiguration": {"issuer": "https://issuer", "audience": ["me"]},
    },
}
LAMBDA = {
    "type": "apiKey",
    "x-amazon-apigateway-authorizer": {
        "type": "request",
        "authorizerUri": ARN.format("auth"),
        "identitySource": "$request.header.A, $request.querystring.b",
        "enableSimpleResponses": True,
    },
}
IAM = {"type": "apiKey", "x-amazon-apigateway-authtype": "awsSigv4"}
SCHEMES = {"components": {"securitySchemes": {"Jwt": JWT, "Own": LAMBDA, "Iam": IAM}}}


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        ({"security": [{"Jwt": ["read"]}]}, ("JWT", "Jwt", ("read",))),
        ({"security": [{"Own": []}]}, ("CUSTOM", "Own", ())),
        ({"security": [{"Iam": []}]}, ("AWS_IAM", None, ())),
        ({"security": []}, ("NONE", None, ())),
        ({}, ("JWT", "Jwt", ())),
    ],
    ids=["JWT", "Lambda", "IAM", "explicitly none", "the document's"],
)
def test_a_route_is_authorized_as_its_security_says(operation: dict[str, Any], wanted: tuple[Any, ...]):
    [found] = routes(document(operation, security=[{"Jwt": []}], **SCHEMES))
    assert (found.authorization_type, found.authorizer, found.scopes) == wanted


def test_authorizers_have_the_names_of_the_api():
    found = authorizers(SCHEMES)
    assert set(found) == {"Jwt", "Own"}
    assert found["Jwt"]["authorizerType"] == "JWT"
    assert found["Jwt"]["jwtConfiguration"] == {"issuer": "https://issuer", "audience": ["me"]}
    assert found["Own"]["identitySource"] == ["$request.header.A", "$request.querystring.b"]
    assert found["Own"] | {"name": "Own", "authorizerType": "REQUEST", "enableSimpleResponses": True} == found["Own"]


def test_the_name_and_the_cors_settings_are_the_bodys():
    assert title({"info": {"title": "shop"}}) == "shop"
    assert cors({"x-amazon-apigateway-cors": {"allowOrigins": ["*"]}}) == {"allowOrigins": ["*"]}
    assert (title({}), cors({})) == (None, None)


@pytest.mark.process
def test_a_stacks_http_api_answers_on_the_routes_of_its_body_and_on_new_ones_after_an_update(emulator: Emulator):
    emulator.create("http-api", "def handler(event, context):\n    return {'route': event['routeKey']}\n")
    cloudformation = emulator.client("cloudformation")
    cloudformation.create_stack(StackName="http", TemplateBody=template("/orders", "post"))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="http", WaiterConfig={"Delay": 0.2})
    [resource] = cloudformation.describe_stack_resources(StackName="http", LogicalResourceId="Api")["StackResources"]
    api = resource["PhysicalResourceId"]
    assert ask(emulator, api, "POST", "/orders") == (200, {"route": "POST /orders"})
    assert ask(emulator, api, "GET", "/orders") == (404, {"message": "Not Found"})
    assert emulator.client("apigatewayv2").get_api(ApiId=api)["Name"] == "shop"

    cloudformation.update_stack(StackName="http", TemplateBody=template("/orders/{id}", "get"))
    cloudformation.get_waiter("stack_update_complete").wait(StackName="http", WaiterConfig={"Delay": 0.2})
    assert ask(emulator, api, "GET", "/orders/7") == (200, {"route": "GET /orders/{id}"})
    assert ask(emulator, api, "POST", "/orders")[0] == 404
    assert len(emulator.client("apigatewayv2").get_routes(ApiId=api)["Items"]) == 1


def template(path: str, method: str) -> str:
    proxy = {**PROXY, "uri": f"{ARN.format('http-api')}/invocations"}
    body = {"info": {"title": "shop"}, **document({"x-amazon-apigateway-integration": proxy}, path, method)}
    stage = {"ApiId": {"Ref": "Api"}, "StageName": "$default", "AutoDeploy": True}
    return json.dumps(
        {
            "Resources": {
                "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Body": body}},
                "Stage": {"Type": "AWS::ApiGatewayV2::Stage", "Properties": stage},
            }
        }
    )


def ask(emulator: Emulator, api: str, method: str, path: str) -> tuple[int, Any]:
    request = urllib.request.Request(f"{emulator.url}/_aws/execute-api/{api}/$default{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)
