"""The embedded emulator: one background process of this directory, on 127.0.0.1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serverless_lab.errors import EmulatorError
from serverless_lab.targets.base import Capabilities
from serverless_lab.targets.clients import get_json
from serverless_lab.targets.emulated import EmulatedTarget

REGION = "us-east-1"
STATUS_PATH = "/_lab/status"


class LocalTarget(EmulatedTarget):
    """The emulator at `endpoint_url`. Its `instance_id` changes with every start, and its state is in memory."""

    name = "local"
    start_hint = "start it with `lab up`"
    capabilities = Capabilities(
        reports_init_duration=True,
        one_log_stream_per_environment=True,
        request_id_header=True,
    )

    def __init__(self, endpoint_url: str, log: Path | None = None) -> None:
        super().__init__(endpoint_url, REGION)
        self._log = log

    def status(self) -> dict[str, Any]:
        """What the emulator says of itself: instance_id, port, pid.

        Raises:
            EmulatorError: nobody answers, or somebody else does.
        """
        see_log = f"start it with `lab up`{f'; its log: {self._log}' if self._log else ''}"
        try:
            status = get_json(f"{self.endpoint_url}{STATUS_PATH}")
        except OSError as error:
            raise EmulatorError(f"no emulator answers at {self.endpoint_url}: {error}", hint=see_log) from error
        if status is None or "instance_id" not in status:
            raise EmulatorError(f"what answers at {self.endpoint_url} is not lab's emulator", hint=see_log)
        return status

    def instance_id(self) -> str | None:
        return str(self.status()["instance_id"])
