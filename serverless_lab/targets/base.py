"""Where a stack runs: the one seam between `lab` and AWS, LocalStack or the embedded emulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import boto3

FUNCTION_REQUEST_ID_HEADER = "x-lab-request-id"
"""Response header with the function's own request id: behind REST API Gateway `x-amzn-RequestId` is the gateway's."""

ENVIRONMENT_ID_HEADER = "x-lab-environment-id"
"""Response header with the id of the execution environment: the 32 hex digits at the end of its log stream's name."""


@dataclass(frozen=True)
class Capabilities:
    """What a target's logs and clock can tell, so that nothing is concluded from what it never prints."""

    reports_init_duration: bool
    one_log_stream_per_environment: bool
    request_id_header: bool
    virtual_clock: bool = False
    updates_functions_in_place: bool = True
    keeps_provisioned_concurrency: bool = True
    skips_absent_resources: bool = True
    fires_scheduler_schedules: bool = True
    runs_declared_python: bool = True
    applies_layers: bool = True


class Target(Protocol):
    """A place to deploy to. Nothing is contacted before the first client is used."""

    name: str
    region: str
    endpoint_url: str | None

    @property
    def capabilities(self) -> Capabilities:
        """What its logs and clock can tell. May ask an emulator what it is, once."""

    def session(self) -> boto3.Session: ...

    def client(self, service: str) -> Any:
        """A boto3 client of `service` for this target's endpoint."""

    def account_id(self) -> str: ...

    def instance_id(self) -> str | None:
        """What distinguishes this emulator's lifetime from the next; None where state outlives processes.

        Raises:
            TargetError: it cannot be reached.
        """

    def api_url(self, rest_api_id: str, stage: str) -> str:
        """The URL under which a REST API's stage answers, without a slash at the end."""
