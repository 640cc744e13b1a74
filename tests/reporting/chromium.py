"""A headless Chromium, spoken to over its DevTools protocol: what a page shows, logs and asks of the network."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import websocket

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 60.0

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)

NOWHERE = "MAP * ~NOTFOUND"
"""Whatever a page asks for beyond this machine's files finds no way out."""


@dataclass
class Page:
    """One tab. `messages` is what the console and the browser's log said, `requested` every URL that was asked for."""

    connection: websocket.WebSocket
    session: str
    numbers: Iterator[int]
    messages: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    loaded: bool = False

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        self.connection.send(
            json.dumps({"id": number, "method": method, "params": parameters, "sessionId": self.session})
        )
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, path: Path, *, width: int = 1200, dark: bool = False) -> None:
        """Load a file in a window of that width."""
        self.loaded = False
        self.messages.clear()
        self.requested.clear()
        self.resize(width)
        self.scheme("dark" if dark else "light")
        self.navigate(path.as_uri())

    def navigate(self, url: str) -> None:
        """Go to an address as if somebody typed it, and wait until what is there has been loaded."""
        self.loaded = False
        self.call("Page.navigate", url=url)
        while not self.loaded:
            self._next()

    def resize(self, width: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )

    def scheme(self, name: str) -> None:
        """`dark` or `light`, as the reader's system asks for it."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, as plain data."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, to: Path, *, height: int | None = None) -> None:
        """A PNG of the whole page, or of its first `height` pixels."""
        width, whole = self.value("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height or whole, "scale": 1}
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        to.write_bytes(base64.b64decode(found["data"]))

    def _next(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.connection.recv())
        parameters = answer.get("params", {})
        match answer.get("method"):
            case "Page.loadEventFired":
                self.loaded = True
            case "Network.requestWillBeSent":
                self.requested.append(parameters["request"]["url"])
            case "Runtime.consoleAPICalled":
                self.messages.append(f"{parameters['type']}: {parameters['args']}")
            case "Runtime.exceptionThrown":
                self.messages.append(f"exception: {parameters['exceptionDetails']}")
            case "Log.entryAdded":
                self.messages.append(f"{parameters['entry']['level']}: {parameters['entry']['text']}")
            case "Page.javascriptDialogOpening":
                # Left open it would stop the page for ever.
                self.messages.append(f"dialog: {parameters['message']}")
                self.connection.send(
                    json.dumps(
                        {
                            "id": next(self.numbers),
                            "method": "Page.handleJavaScriptDialog",
                            "params": {"accept": False},
                            "sessionId": self.session,
                        }
                    )
                )
        return answer


class Chromium:
    """The browser, with a profile of its own in `folder`. `names` says where names lead to."""

    def __init__(self, program: str, folder: Path, names: str = NOWHERE) -> None:
        self.profile = folder / "profile"
        self.profile.mkdir(parents=True)
        self._process = subprocess.Popen(
            [program, *OPTIONS, f"--host-resolver-rules={names}", f"--user-data-dir={self.profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "chromium.log").open("wb"),
            start_new_session=True,
        )
        self._log = folder / "chromium.log"
        port, path = self._address()
        self._connection = websocket.create_connection(
            f"ws://127.0.0.1:{port}{path}", timeout=ANSWER_TIMEOUT_S, suppress_origin=True
        )
        self._numbers = itertools.count(1)

    def _address(self) -> list[str]:
        file = self.profile / "DevToolsActivePort"
        pause = threading.Event()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            lines = file.read_text().splitlines() if file.is_file() else []
            if len(lines) == 2:
                return lines
            pause.wait(0.05)
        self.stop()
        raise RuntimeError(f"Chromium did not start:\n{self._log.read_text(errors='replace')[-3000:]}")

    def page(self) -> Page:
        """A new tab."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self._connection, session, self._numbers)
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        return page

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._connection.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])


def start(folder: Path, names: str = NOWHERE) -> Chromium:
    """A Chromium; without one the test is skipped, and on CI, where nobody reads skips, it fails."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        reason = f"none of {', '.join(PROGRAMS)} is installed: `apt-get install chromium` (or your system's package)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return Chromium(program, folder, names)
