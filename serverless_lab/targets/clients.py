"""boto3 sessions and clients for targets, and what their errors mean.

Emulators get fixed credentials and a session that reads none of the user's AWS files: a profile that does not exist,
a proxy or an `endpoint_url` in the user's configuration must neither break nor redirect a local deployment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from serverless_lab.errors import TargetError

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
ATTEMPTS_EMULATOR = 3
ATTEMPTS_AWS = 8
HTTP_TIMEOUT_S = 5

# Not secrets: LocalStack's documented test credentials. A 12-digit access key would be taken for an account id.
EMULATOR_ACCESS_KEY_ID = "test"
EMULATOR_SECRET_ACCESS_KEY = "test"

EXPIRED_CODES = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"}
)
DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


def emulator_session(region: str) -> boto3.Session:
    """A session with emulator credentials that reads no configuration file and no AWS_PROFILE."""
    import boto3
    import botocore.session

    unread = (None, None, os.devnull, None)
    core = botocore.session.Session(
        session_vars={"profile": (None, None, None, None), "config_file": unread, "credentials_file": unread}
    )
    return boto3.Session(
        aws_access_key_id=EMULATOR_ACCESS_KEY_ID,
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


@contextmanager
def target_errors(name: str, endpoint_url: str | None, hint: str) -> Iterator[None]:
    """Turn "cannot connect", "no credentials" and "access denied" into a TargetError that says where and what to do.

    Other service errors pass: the caller knows what it asked for.
    """
    import botocore.exceptions as problems

    try:
        yield
    except (problems.ConnectionError, problems.HTTPClientError) as error:
        where = f"target `{name}`" + (f" at {endpoint_url}" if endpoint_url else "")
        raise TargetError(f"{where} cannot be reached: {error}", hint=hint) from error
    except (problems.NoCredentialsError, problems.PartialCredentialsError, problems.CredentialRetrievalError) as error:
        raise TargetError(f"target `{name}`: {error}", hint="sign in, for example with `aws sso login`") from error
    except (problems.UnauthorizedSSOTokenError, problems.SSOTokenLoadError, problems.TokenRetrievalError) as error:
        raise TargetError(f"target `{name}`: {error}", hint="sign in again: `aws sso login`") from error
    except problems.ClientError as error:
        if error_code(error) in EXPIRED_CODES:
            raise TargetError(f"target `{name}`: {error}", hint="renew the credentials, then repeat") from error
        if error_code(error) in DENIED_CODES:
            raise TargetError(f"target `{name}`: {error}", hint="ask for that permission, then repeat") from error
        raise
