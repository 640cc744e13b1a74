"""A reply, written by hand as plain data, as AWS would send it: checked by botocore's model, in the service's protocol.

botocore then reads it with its own parser. What it cannot read, or what the model does not have, fails the test.
"""

from __future__ import annotations

import base64
import io
import json
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from botocore.awsrequest import AWSResponse
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator

REQUEST_ID = "11111111-2222-3333-4444-555555555555"


class Raw(io.BytesIO):
    """A response's body as urllib3 hands it on."""

    def stream(self, **_: Any) -> Any:
        yield self.read()


def reply(operation: OperationModel, data: dict[str, Any], url: str) -> AWSResponse:
    """`data` as the answer to `operation`.

    Raises:
        AssertionError: the model has no such answer.
    """
    shape = operation.output_shape
    if shape is None:
        assert not data, f"{operation.name} answers nothing"
        empty = f"<{operation.name}Response/>" if operation.service_model.resolved_protocol == "query" else ""
        return _response(url, 200, {}, empty.encode())
    problems = ParamValidator().validate(data, shape)
    assert not problems.has_errors(), f"{operation.name}: {problems.generate_report()}"
    protocol = operation.service_model.resolved_protocol
    if protocol in ("json", "query"):
        body = json.dumps(_plain(data, shape)) if protocol == "json" else _query_result(operation, data, shape)
        return _response(url, 200, {}, body.encode())
    headers = {}
    rest = {}
    status = 200
    for name, value in data.items():
        member = shape.members[name]
        location = member.serialization.get("location")
        if location == "header":
            headers[member.serialization.get("name", name)] = str(value)
        elif location == "statusCode":
            status = value
        else:
            rest[name] = value
    payload = shape.serialization.get("payload")
    if payload is not None and isinstance(rest.get(payload), bytes):
        return _response(url, status, headers, rest[payload])
    if protocol == "rest-json":
        body = json.dumps(_plain(rest, shape))
    elif payload is not None and payload in rest:
        body = _element(
            shape.members[payload].serialization.get("name", payload), rest[payload], shape.members[payload]
        )
    else:
        body = f"<{shape.name}>{_members(rest, shape)}</{shape.name}>" if _has_body(shape) else ""
    return _response(url, status, headers, body.encode())


def _has_body(shape: StructureShape) -> bool:
    return any("location" not in member.serialization for member in shape.members.values())


def error_reply(operation: OperationModel, code: str, message: str, status: int, url: str) -> AWSResponse:
    """The service's own way to refuse."""
    protocol = operation.service_model.resolved_protocol
    if operation.http.get("method") == "HEAD":
        return _response(url, status, {}, b"")
    if protocol in ("json", "rest-json"):
        return _response(
            url, status, {"x-amzn-errortype": code}, json.dumps({"__type": code, "message": message}).encode()
        )
    detail = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    if protocol == "rest-xml":
        body = f"<Error>{detail}<RequestId>{REQUEST_ID}</RequestId></Error>"
    else:
        body = f"<ErrorResponse><Error><Type>Sender</Type>{detail}</Error></ErrorResponse>"
    return _response(url, status, {}, body.encode())


def _response(url: str, status: int, headers: dict[str, str], body: bytes) -> AWSResponse:
    return AWSResponse(url, status, {"x-amzn-requestid": REQUEST_ID, **headers}, Raw(body))


def _plain(value: Any, shape: Shape) -> Any:
    if isinstance(shape, StructureShape):
        return {
            shape.members[name].serialization.get("name", name): _plain(item, shape.members[name])
            for name, item in value.items()
        }
    if isinstance(shape, ListShape):
        return [_plain(item, shape.member) for item in value]
    if isinstance(shape, MapShape):
        return {key: _plain(item, shape.value) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.isoformat() if shape.serialization.get("timestampFormat") == "iso8601" else value.timestamp()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _query_result(operation: OperationModel, data: dict[str, Any], shape: StructureShape) -> str:
    wrapper = shape.serialization.get("resultWrapper")
    inner = _members(data, shape)
    if wrapper:
        inner = f"<{wrapper}>{inner}</{wrapper}>"
    name = f"{operation.name}Response"
    return f"<{name}>{inner}<ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata></{name}>"


def _members(data: dict[str, Any], shape: StructureShape) -> str:
    return "".join(
        _element(shape.members[name].serialization.get("name", name), value, shape.members[name])
        for name, value in data.items()
    )


def _element(name: str, value: Any, shape: Shape) -> str:
    if isinstance(shape, ListShape):
        item = shape.member.serialization.get("name", "member")
        if shape.serialization.get("flattened"):
            return "".join(_element(name, each, shape.member) for each in value)
        return f"<{name}>" + "".join(_element(item, each, shape.member) for each in value) + f"</{name}>"
    if isinstance(shape, StructureShape):
        return f"<{name}>{_members(value, shape)}</{name}>"
    if isinstance(shape, MapShape):
        entries = "".join(
            f"<entry><key>{escape(key)}</key>{_element('value', item, shape.value)}</entry>"
            for key, item in value.items()
        )
        return f"<{name}>{entries}</{name}>"
    if isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, bool):
        value = str(value).lower()
    return f"<{name}>{escape(str(value))}</{name}>"
