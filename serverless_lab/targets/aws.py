"""The user's AWS account, as their profile and region say; nothing may point it elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from serverless_lab.errors import TargetError
from serverless_lab.targets.base import Capabilities
from serverless_lab.targets.clients import aws_config, target_errors

if TYPE_CHECKING:
    import boto3

# documented: https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html: no SDK follows one then.
IGNORE_ENDPOINTS = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
ENDPOINT_HINT = "unset it for `--target aws`, or use `--target localstack`"


class AwsTarget:
    """An account and a region. Refuses when an endpoint override would send its requests to an emulator.

    Raises:
        TargetError: an override is set, the profile does not exist, or no region is configured.
    """

    name = "aws"
    endpoint_url: str | None = None
    capabilities = Capabilities(
        reports_init_duration=True,
        one_log_stream_per_environment=True,
        request_id_header=False,
    )

    def __init__(self, *, profile: str | None, region: str | None, environment: Mapping[str, str]) -> None:
        import boto3
        from botocore.exceptions import BotoCoreError

        ignored = environment.get(IGNORE_ENDPOINTS, "").strip().lower() == "true"
        for name in sorted(environment):
            if name.startswith("AWS_ENDPOINT_URL") and environment[name].strip() and not ignored:
                raise TargetError(f"{name} is {environment[name]}, which is not AWS", hint=ENDPOINT_HINT)
        try:
            # boto3 itself reads AWS_DEFAULT_REGION alone; the other SDKs and Lambda say AWS_REGION.
            self._session = boto3.Session(
                profile_name=profile, region_name=region or environment.get("AWS_REGION") or None
            )
            configured = self._session._session.get_scoped_config()
        except BotoCoreError as error:
            raise TargetError(f"target `aws`: {error}", hint="`aws configure list-profiles` shows the ones") from error
        for setting in ("endpoint_url", "services"):
            if configured.get(setting) and not ignored:
                raise TargetError(
                    f"the AWS configuration of profile `{self._session.profile_name}` sets {setting}",
                    hint="remove it, or choose a profile without one",
                )
        if not self._session.region_name:
            raise TargetError("target `aws`: no region is configured", hint="say --region, or set AWS_REGION")
        self.region: str = self._session.region_name
        self.profile: str = self._session.profile_name
        self._clients: dict[str, Any] = {}
        self._identity: dict[str, str] | None = None
        self._lock = threading.Lock()

    def session(self) -> boto3.Session:
        return self._session

    def client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                client = self._session.client(service, config=aws_config())
                host = urlsplit(client.meta.endpoint_url).hostname or ""
                if not host.endswith((f".{self.url_suffix}", ".api.aws")):
                    raise TargetError(f"{service} would be reached at {host}, which is not AWS", hint=ENDPOINT_HINT)
                self._clients[service] = client
            return self._clients[service]

    def account_id(self) -> str:
        return self.identity()["Account"]

    def identity(self) -> dict[str, str]:
        """Whose credentials these are: Account and Arn. AWS is asked once.

        Raises:
            TargetError: there are none, they are not valid any more, or AWS cannot be reached; the hint says how to
                sign in with this profile.
        """
        if self._identity is None:
            with target_errors(self.name, None, "check the network and the region's name", self.sign_in):
                found = self.client("sts").get_caller_identity()
            self._identity = {"Account": str(found["Account"]), "Arn": str(found["Arn"])}
        return self._identity

    @cached_property
    def sign_in(self) -> str:
        """How to get credentials for this profile."""
        from serverless_lab.targets.clients import sign_in_hint

        return sign_in_hint(self._session._session.full_config.get("profiles", {}), self._session.profile_name)

    def instance_id(self) -> str | None:
        return None

    @cached_property
    def url_suffix(self) -> str:
        """`amazonaws.com`, or what the region's partition has instead: the end of a regional service's host name."""
        host = urlsplit(self._session.client("lambda", config=aws_config()).meta.endpoint_url).hostname or ""
        suffix = host.partition(f".{self.region}.")[2]
        if not suffix:
            raise TargetError(f"Lambda would be reached at {host}, which is not AWS", hint=ENDPOINT_HINT)
        return suffix

    def api_url(self, rest_api_id: str, stage: str) -> str:
        return f"https://{rest_api_id}.execute-api.{self.region}.{self.url_suffix}/{stage}"
