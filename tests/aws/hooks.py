"""What answers an `AwsTarget` in these tests, since nothing here runs on AWS.

Both stand behind botocore's own event hooks, so the request has been checked against botocore's model, built and signed
for AWS's own host before they see it. No request leaves the machine.

    Paper       replies written by hand; an operation without one fails the test
    Forwarder   sends the request to an emulator on loopback instead of to AWS's host
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session
from botocore.model import OperationModel

from tests.aws.wire import error_reply, reply


@dataclass(frozen=True)
class Request:
    """One call: the service and operation as botocore names them, its parameters, the host it would have gone to."""

    service: str
    operation: str
    parameters: dict[str, Any]
    host: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.service}.{self.operation}"


@dataclass(frozen=True)
class Refused:
    """An error reply."""

    code: str
    message: str = ""
    status: int = 400


@dataclass
class Hooks:
    """Records every request of the sessions it is attached to, and answers in the network's place."""

    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A request is built and sent in one thread; uploads have threads of their own.
        self._building = threading.local()

    def attach(self, session: Any) -> None:
        """`session` is a boto3 session, before its first client."""
        session.events.register("before-parameter-build", self._build)
        session.events.register("before-send", self._send)

    def names(self) -> list[str]:
        return [request.name for request in self.requests]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The parameters of every request of that name."""
        return [request.parameters for request in self.requests if request.name == name]

    def _build(self, params: dict[str, Any], model: OperationModel, **_: Any) -> None:
        self._building.model, self._building.parameters = model, dict(params)

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        model: OperationModel = self._building.model
        seen = Request(
            model.service_model.service_name,
            model.name,
            self._building.parameters,
            urlsplit(request.url).hostname or "",
            {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()},
        )
        self.requests.append(seen)
        return self.answer(seen, model, request)

    def answer(self, seen: Request, model: OperationModel, request: AWSPreparedRequest) -> AWSResponse:
        raise NotImplementedError


Answer = dict[str, Any] | Refused


@dataclass
class Paper(Hooks):
    """`replies` by `service.Operation`: what to answer, or a function of the request's parameters that says it."""

    replies: dict[str, Answer | Callable[[dict[str, Any]], Answer]] = field(default_factory=dict)

    def answer(self, seen: Request, model: OperationModel, request: AWSPreparedRequest) -> AWSResponse:
        assert seen.name in self.replies, f"nobody wrote a reply to {seen.name} {seen.parameters}"
        found = self.replies[seen.name]
        said = found(seen.parameters) if callable(found) else found
        if isinstance(said, Refused):
            return error_reply(model, said.code, said.message, said.status, request.url)
        return reply(model, said, request.url)


@dataclass
class Forwarder(Hooks):
    endpoint: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._http = URLLib3Session(proxies={})

    def answer(self, seen: Request, model: OperationModel, request: AWSPreparedRequest) -> AWSResponse:
        url, there = urlsplit(request.url), urlsplit(self.endpoint)
        path = url.path
        bucket, dot, _ = (url.hostname or "").partition(".s3.")
        if dot:
            path = f"/{bucket}{path}"
        request.url = urlunsplit((there.scheme, there.netloc, path, url.query, ""))
        request.headers["Host"] = there.netloc
        return self._http.send(request)
