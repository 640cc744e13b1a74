"""A Lambda execution environment as OS processes of this host, where LocalStack would start a container."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from localstack import config
from localstack.services.lambda_.invocation.executor_endpoint import ExecutorEndpoint
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

LOOPBACK = "127.0.0.1"
INIT = Path(__file__).with_name("init.py")
STOP_PATIENCE_S = 5

RUNTIMES_VARIABLE = "LAB_LOCALSTACK_RUNTIMES"
"""JSON: for each runtime's identifier, the interpreter (`python`) and the `directory` of what it holds besides."""

WORK_VARIABLE = "LAB_LOCALSTACK_WORK"
"""A folder: `processes.journal` is in it, and `home`, which handlers get for their home directory."""


class ProcessExecutorPlugin(RuntimeExecutorPlugin):
    name = "process"

    def load(self, *args: Any, **kwargs: Any) -> type[RuntimeExecutor]:
        return ProcessExecutor


class ProcessExecutor(RuntimeExecutor):
    """One environment: its init is a child of LocalStack, the runtime a child of that."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:
        super().__init__(id=id, function_version=function_version)
        self._endpoint = ExecutorEndpoint(self.id, container_address=LOOPBACK)
        self._init: subprocess.Popen[bytes] | None = None

    def start(self, env_vars: dict[str, Any]) -> None:
        self._endpoint.start()
        work = Path(os.environ[WORK_VARIABLE])
        runtime = runtime_of(self.function_version)
        code = str(self.function_version.config.code.get_unzipped_code_location())
        # The address is known before anything runs: init is handed the listening socket.
        with socket.create_server((LOOPBACK, 0), backlog=16) as listener:
            self._endpoint.container_port = listener.getsockname()[1]
            settings = {
                "listener": listener.fileno(),
                "status": f"{self.get_runtime_endpoint()}/status/{self.id}",
                "invocations": f"{self.get_runtime_endpoint()}/invocations",
                "environment": self.id,
                "function": self.function_version.id.function_name,
                "version": self.function_version.id.qualifier,
                "timeout_s": self.function_version.config.timeout,
                "memory_mb": self.function_version.config.memory_size,
                "journal": str(work / "processes.journal"),
                "code": code,
                "variables": self._variables(env_vars, code, str(work / "home")),
                **runtime,
            }
            self._init = subprocess.Popen(
                [sys.executable, "-I", "-S", str(INIT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        # Its standard input stays open as long as the environment shall live, and closes when LocalStack ends, however.
        stdin = self._init.stdin
        assert stdin is not None
        stdin.write(json.dumps(settings).encode() + b"\n")
        stdin.flush()
        self._endpoint.wait_for_startup()

    def _variables(self, env_vars: dict[str, Any], code: str, home: str) -> dict[str, str]:
        """What LocalStack gives the environment, with the places of a container turned into those of this host."""
        found = {name: str(value) for name, value in env_vars.items() if not name.startswith("LOCALSTACK_RUNTIME_")}
        return {
            "PATH": os.defpath,
            "LANG": "en_US.UTF-8",
            **found,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{self.function_version.config.runtime}",
            "LAMBDA_TASK_ROOT": code,
            "HOME": home,  # without a home the SDK reads the developer's settings
        }

    def stop(self) -> None:
        if self._init is not None:
            assert self._init.stdin is not None
            self._init.stdin.close()
            try:
                self._init.wait(STOP_PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._init.pid, signal.SIGKILL)
                self._init.wait()
        self._endpoint.shutdown()

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        return self._endpoint.invoke(payload)

    def get_address(self) -> str:
        return LOOPBACK

    def get_endpoint_from_executor(self) -> str:
        return LOOPBACK

    def get_runtime_endpoint(self) -> str:
        return f"http://{LOOPBACK}:{config.GATEWAY_LISTEN[0].port}{self._endpoint.get_endpoint_prefix()}"

    def get_logs(self) -> str:
        return ""

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        runtime_of(function_version)
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        pass


def runtime_of(function_version: FunctionVersion) -> dict[str, str]:
    """The interpreter and its libraries. Where there is none the function ends in State Failed, with this reason."""
    known: dict[str, dict[str, str]] = json.loads(os.environ[RUNTIMES_VARIABLE])
    wanted = function_version.config.runtime
    if wanted not in known:
        raise ValueError(f"the tests have no runtime {wanted}, only {', '.join(sorted(known))}")
    return known[wanted]
