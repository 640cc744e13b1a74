"""boto3 sessions and clients for targets, and what their errors mean.

Emulators get fixed credentials and a session that reads none of the user's AWS files: a profile that does not exist,
a proxy or an `endpoint_url` in the user's configuration must neither break nor redirect a local deployment.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
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


@contextmanager
def target_errors(
    name: str, endpoint_url: str | None, hint: str, sign_in: str = "sign in again, for example with `aws sso login`"
) -> Iterator[None]:
    """Turn "cannot connect", "no credentials" and "access denied" into a TargetError that says where and what to do.

    Other service errors pass: the caller knows what it asked for.
    """
    import botocore.exceptions as problems

    try:
        yield
    except (problems.ConnectionError, problems.HTTPClientError) as error:
        where = f"target `{name}`" + (f" at {endpoint_url}" if endpoint_url else "")
        raise TargetError(f"{where} cannot be reached: {error}", hint=hint) from error
    except (
        problems.NoCredentialsError,
        problems.PartialCredentialsError,
        problems.CredentialRetrievalError,
        problems.SSOError,
        problems.TokenRetrievalError,
        problems.LoginError,
        problems.ProfileNotFound,
    ) as error:
        raise TargetError(f"target `{name}`: {error}", hint=sign_in) from error
    except problems.ClientError as error:
        if error_code(error) in EXPIRED_CODES:
            raise TargetError(f"target `{name}`: {error}", hint=sign_in) from error
        if error_code(error) in DENIED_CODES:
            raise TargetError(f"target `{name}`: {error}", hint=denied_hint(error)) from error
        raise
