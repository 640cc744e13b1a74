"""What the targets behind an emulator's endpoint have in common."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from serverless_lab.targets.clients import emulator_config, emulator_session, target_errors

if TYPE_CHECKING:
    import boto3


class EmulatedTarget:
    """One endpoint for every service, fixed credentials, nothing of the user's AWS configuration."""

    name: str
    start_hint: str

    def __init__(self, endpoint_url: str, region: str, account: str | None = None) -> None:
        self._account = account
        self.endpoint_url: str | None = endpoint_url.rstrip("/")
        self.region = region
        self._session: boto3.Session | None = None
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def session(self) -> boto3.Session:
        if self._session is None:
            self._session = emulator_session(self.region, self._account)
        return self._session

    def client(self, service: str) -> Any:
        # A boto3 client may be used by many threads, but making one may not.
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self.session().client(
                    service, endpoint_url=self.endpoint_url, config=emulator_config()
                )
            return self._clients[service]

    def account_id(self) -> str:
        with target_errors(self.name, self.endpoint_url, self.start_hint):
            return str(self.client("sts").get_caller_identity()["Account"])

    def api_url(self, rest_api_id: str, stage: str) -> str:
        return f"{self.endpoint_url}/_aws/execute-api/{rest_api_id}/{stage}"
