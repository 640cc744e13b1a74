"""boto3 sessions and clients for targets, and what their errors mean.

Emulators get fixed credentials and a session that reads none of the user's AWS files: a profile that does not exist,
a proxy or an `endpoint_url` in the user's configuration must neither break nor redirect a local deployment.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from serverless_lab.errors import TargetBusy, TargetError

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

    from serverless_lab.targets.base import Target

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
ATTEMPTS_EMULATOR = 3
ATTEMPTS_AWS = 8
HTTP_TIMEOUT_S = 5

BUSY_HINT = "it may still be at work on what it was sent: wait until it answers (`lab doctor` tells), then repeat"

# Not secrets: LocalStack's documented test credentials. A 12-digit access key would be taken for an account id.
EMULATOR_ACCESS_KEY_ID = "test"
EMULATOR_SECRET_ACCESS_KEY = "test"

EXPIRED_CODES = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"}
)
DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
THROTTLED_CODES = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "RequestThrottled",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
        "ServiceUnavailableException",
        "ServiceUnavailable",
    }
)
"""Refusals that mean "later"."""


def emulator_session(region: str, account_id: str | None = None) -> boto3.Session:
    """A session with emulator credentials that reads no configuration file and no AWS_PROFILE.

    Args:
        account_id: an access key of 12 digits is an account to LocalStack and MiniStack.
    """
    import boto3
    import botocore.session

    unread = (None, None, os.devnull, None)
    core = botocore.session.Session(
        session_vars={"profile": (None, None, None, None), "config_file": unread, "credentials_file": unread}
    )
    return boto3.Session(
        aws_access_key_id=account_id or EMULATOR_ACCESS_KEY_ID,
        aws_secret_access_key=EMULATOR_SECRET_ACCESS_KEY,
        region_name=region,
        botocore_session=core,
    )


def emulator_config() -> Config:
    """No proxy, path-style buckets, no checksum trailers: what an emulator on loopback understands."""
    from botocore.config import Config

    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS_EMULATOR},
        proxies={},
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=20,
    )


def aws_config() -> Config:
    from botocore.config import Config

    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS_AWS},
        max_pool_connections=20,
    )


def get_json(url: str) -> dict[str, Any] | None:
    """The JSON object at `url`, asked directly whatever proxy is configured; None when the answer is none.

    Raises:
        OSError: nobody answers there.
    """
    import urllib.error
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=HTTP_TIMEOUT_S) as response:
            data = json.loads(response.read())
    except (urllib.error.HTTPError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def post_json(url: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON object that `url` answers `body` with; None when nobody answers, or with something else."""
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
        with opener.open(request, timeout=HTTP_TIMEOUT_S) as response:
            data = json.loads(response.read())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def error_code(error: Exception) -> str:
    """AWS's code of a ClientError: `ValidationError`, `ResourceNotFoundException`; empty for other errors."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def sign_in_hint(profiles: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """How to get credentials for profile `name`, as it is configured in `profiles`: IAM Identity Center, `aws login`
    or keys. A profile that assumes a role gets them through its source profile.
    """
    asked = name
    seen: set[str] = set()
    while (source := profiles.get(asked, {}).get("source_profile")) and source not in seen:
        seen.add(source)
        asked = source
    found = profiles.get(asked, {})
    given = "" if asked == "default" else f" --profile {asked}"
    if any(setting in found for setting in ("sso_session", "sso_start_url")):
        return f"sign in: `aws sso login{given}`"
    if "login_session" in found:
        return f"sign in: `aws login{given}`"
    if "credential_process" in found:
        return f"see what the credential_process of profile {asked} says: {found['credential_process'].split()[0]}"
    if "aws_access_key_id" in found:
        return f"the keys of profile {asked} are not valid: `aws configure{given}` sets others"
    return f"sign in (`aws login{given}`, or `aws configure sso` and `aws sso login{given}`), or name a --profile"


UNAUTHORIZED = re.compile(r"not authorized to perform: (\S+)(?: on resource: (\S+))?")


def denied_hint(error: Exception) -> str:
    """Which permission is missing, where AWS's message says it."""
    found = UNAUTHORIZED.search(str(error))
    if found is None:
        return "ask for that permission, then repeat: docs/aws.md lists what lab needs"
    action, resource = found.groups()
    where = f" on {resource}" if resource else ""
    return f"ask for {action}{where}, then repeat: docs/aws.md lists what lab needs"


SIGN_IN = "sign in again, for example with `aws sso login`"


def way_out(error: Exception, unreachable: str, sign_in: str = SIGN_IN) -> str | None:
    """What to do about an error of botocore's that says nothing of what was asked for; None for one that does.

    Nobody answers, no or no valid credentials, denied, or refused for longer than botocore repeats a request.

    Args:
        unreachable, sign_in: what to do where nobody answers, and where the credentials do not hold (any more).
    """
    import botocore.exceptions as problems

    match error:
        case problems.ConnectionError() | problems.HTTPClientError():
            return unreachable
        case (
            problems.NoCredentialsError()
            | problems.PartialCredentialsError()
            | problems.CredentialRetrievalError()
            | problems.SSOError()
            | problems.TokenRetrievalError()
            | problems.LoginError()
            | problems.ProfileNotFound()
        ):
            return sign_in
        case problems.ClientError() if error_code(error) in EXPIRED_CODES:
            return sign_in
        case problems.ClientError() if error_code(error) in DENIED_CODES:
            return denied_hint(error)
        case problems.ClientError() if is_busy(error):
            return "repeat the command later"
    return None


def is_busy(error: Exception) -> bool:
    """Whether a refusal says nothing of the request: too many at once, or the service's own fault."""
    response = getattr(error, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0
    return error_code(error) in THROTTLED_CODES or status >= 500


@contextmanager
def target_errors(name: str, endpoint_url: str | None, hint: str, sign_in: str = SIGN_IN) -> Iterator[None]:
    """Turn what `way_out` knows about into a TargetError that says where and what to do.

    Other service errors pass: the caller knows what it asked for.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        HTTPClientError,
        ReadTimeoutError,
    )
    from botocore.exceptions import ConnectionError as Unreachable

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        found = way_out(error, hint, sign_in)
        if found is None:
            raise
        where = f"target `{name}`"
        if endpoint_url and isinstance(error, ConnectTimeoutError | ReadTimeoutError):
            raise TargetBusy(f"{where} at {endpoint_url} does not answer in time: {error}", BUSY_HINT) from error
        if isinstance(error, Unreachable | HTTPClientError):
            where += f" at {endpoint_url}" if endpoint_url else ""
            raise TargetError(f"{where} cannot be reached: {error}", hint=found) from error
        raise TargetError(f"{where}: {error}", hint=found) from error


def errors_of(target: Target, then: str) -> AbstractContextManager[None]:
    """`target_errors` for a target's own requests. `then` is what to do when it can be reached again."""
    reach = "check the network and the region's name" if target.endpoint_url is None else "see that it runs"
    sign_in = getattr(target, "sign_in", SIGN_IN)
    return target_errors(target.name, target.endpoint_url, f"{reach}, then {then}", sign_in)
