"""LocalStack, or a drop-in such as a standalone MiniStack, at the endpoint LocalStack's own tools would use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from ssl import SSLError

from serverless_lab.errors import TargetBusy, TargetError
from serverless_lab.targets.base import Capabilities
from serverless_lab.targets.clients import BUSY_HINT, HTTP_TIMEOUT_S, get_json
from serverless_lab.targets.emulated import EmulatedTarget

ACCOUNT_DIGITS = 12
HINT = "start LocalStack, or say where it is: AWS_ENDPOINT_URL=http://localhost:4566"
SSL_HINT = (
    "say http://, which LocalStack takes on the same port; its certificate is for localhost.localstack.cloud alone"
)


def localstack_endpoint(environment: Mapping[str, str], profile: Mapping[str, str] | None = None) -> str:
    """AWS_ENDPOINT_URL, else LOCALSTACK_HOST (`host` or `host:port`), else the profile's, else localstack-client's.

    Args:
        profile: the settings of the user's AWS profile; those of LocalStack have its endpoint_url.

    Raises:
        TargetError: the value is no address.
    """
    given = environment.get("AWS_ENDPOINT_URL", "").strip()
    if given:
        if not given.startswith(("http://", "https://")):
            raise TargetError(f"AWS_ENDPOINT_URL is `{given}`, not a URL", hint="say http://host:port")
        return given
    configured = (profile or {}).get("endpoint_url", "").strip()
    if configured and not environment.get("LOCALSTACK_HOST", "").strip():
        return configured
    scheme = "https" if environment.get("USE_SSL") in ("1", "true") else "http"
    from localstack_client import config

    host = environment.get("LOCALSTACK_HOST", "").strip() or f"localhost:{config.DEFAULT_EDGE_PORT}"
    try:
        name, port = config.parse_localstack_host(host)
    except RuntimeError as error:
        raise TargetError(f"LOCALSTACK_HOST is `{host}`, not host:port", hint="say localhost:4566") from error
    return f"{scheme}://{name}:{port}"


def profile_settings(name: str | None, environment: Mapping[str, str]) -> Mapping[str, str]:
    """The settings of profile `name` in the AWS configuration file; none where there is no such profile.

    None is the profile that the SDKs would take. Only the file's settings are read: no credentials, and nothing of
    another profile.
    """
    import configparser

    path = Path(environment.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    name = name or environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or "default"
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return {}
    section = name if name == "default" else f"profile {name}"
    return dict(parser[section]) if parser.has_section(section) else {}


def emulated_account(environment: Mapping[str, str]) -> str | None:
    """The account that an access key of 12 digits means to LocalStack; None for any other key, which is not sent.

    documented: https://docs.localstack.cloud/aws/capabilities/config/multi-account-setups/
    """
    key = environment.get("AWS_ACCESS_KEY_ID", "").strip()
    return key if len(key) == ACCOUNT_DIGITS and key.isdigit() else None


class LocalStackTarget(EmulatedTarget):
    """What it is (LocalStack or MiniStack) is asked once, when a capability is first needed."""

    name = "localstack"
    start_hint = HINT

    @cached_property
    def _information(self) -> dict[str, object] | None:
        """What LocalStack says of itself; None where something else answers."""
        return self._get("/_localstack/info")

    @cached_property
    def is_ministack(self) -> bool:
        """A standalone MiniStack answers at its own health path, LocalStack at its own information.

        That is asked first: what it does not know makes a LocalStack that has just started load its services, which
        takes seconds (seen with 4.8.1).
        """
        return self._information is None and self._get("/_ministack/health") is not None

    @cached_property
    def capabilities(self) -> Capabilities:
        # Seen on LocalStack 4.8.1: no REPORT has an Init Duration, a stream is an environment, any update of a function
        # with AutoPublishAlias fails and takes the alias away, a resource whose condition is false is evaluated, and a
        # schedule of EventBridge Scheduler comes up and never invokes anything.
        # Seen on MiniStack 1.5.33: no Init Duration either, a new stream for every invocation, updates work, functions
        # in Python run on the interpreter that MiniStack itself runs on.
        return Capabilities(
            reports_init_duration=False,
            one_log_stream_per_environment=not self.is_ministack,
            request_id_header=False,
            updates_functions_in_place=self.is_ministack,
            keeps_provisioned_concurrency=not self.is_ministack,
            skips_absent_resources=self.is_ministack,
            fires_scheduler_schedules=self.is_ministack,
            runs_declared_python=not self.is_ministack,
            # Seen on LocalStack 4.8.1 without a licence: layers are kept, and nothing of them is in a function's /opt.
            applies_layers=(self._information or {}).get("is_license_activated") is not False,
        )

    def instance_id(self) -> str | None:
        """LocalStack's session id; None on a drop-in that has none, once it is known to answer."""
        info = self._get("/_localstack/info")
        if info is None:
            self._get("/_localstack/health")
            return None
        session = info.get("session_id")
        return str(session) if session else None

    def _get(self, path: str) -> dict[str, object] | None:
        try:
            return get_json(f"{self.endpoint_url}{path}")
        except OSError as error:
            where = f"target `{self.name}` does not answer at {self.endpoint_url}"
            if isinstance(getattr(error, "reason", error), SSLError):
                raise TargetError(f"{where}: {error}", SSL_HINT) from error
            if isinstance(getattr(error, "reason", error), TimeoutError):
                raise TargetBusy(f"{where} within {HTTP_TIMEOUT_S} s", BUSY_HINT) from error
            raise TargetError(f"{where}: {error}", HINT) from error
