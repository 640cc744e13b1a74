"""scenario + seed + arrival number -> the bytes to send.

Each arrival draws from a random stream of its own, so request 417 is the same whichever worker sends it and whatever
was sent before. Only `$now` does not come from the seed: it is the intended instant on the wall clock.
"""

from __future__ import annotations

import json
import re
import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from serverless_lab import __version__
from serverless_lab.errors import BadInput
from serverless_lab.scenario import JSON, MixEntry, Request

PATH_SAFE = "/%:@!$&'()*+,;=-._~?{}"  # braces hold the place of values
LETTERS = string.ascii_lowercase + string.digits
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_compact = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True)
class Origin:
    """Where requests go. `prefix` is the path of the API's URL, such as a stage, without a slash at its end."""

    scheme: str
    host: str
    port: int
    prefix: str

    @property
    def authority(self) -> str:
        """The Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return name if self.port == usual else f"{name}:{self.port}"


def origin(url: str) -> Origin:
    """The parts of an API's URL.

    Raises:
        BadInput: it is not an http or https URL.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise BadInput(f"`{url}` is not the URL of an API", hint="write it as http://127.0.0.1:8080 or https://...")
    return Origin(
        parts.scheme, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme], parts.path.rstrip("/")
    )


@dataclass(frozen=True)
class Prepared:
    """A request ready to send: `payload` is everything that goes on the wire, cookies and clock headers excepted."""

    request: Request
    path: str
    head: bytes
    body: bytes

    def payload(self, extra: bytes = b"") -> bytes:
        return self.head + extra + b"\r\n" + self.body


class Draw:
    """The random choices of one arrival."""

    def __init__(self, seed: int, index: int, now_epoch_ms: float) -> None:
        self.rng = Random(f"{seed}/request/{index}")
        self.index = index
        self.now_epoch_ms = now_epoch_ms
        self.values: dict[str, Any] = {}

    def render(self, template: JSON) -> Any:
        """The template with every generator replaced by what it draws."""
        if isinstance(template, dict):
            if len(template) == 1:
                name, argument = next(iter(template.items()))
                if name.startswith("$"):
                    return self._generate(name, argument)
            return {key: self.render(value) for key, value in template.items()}
        if isinstance(template, list):
            return [self.render(item) for item in template]
        return template

    def text(self, template: JSON) -> str:
        """A header, a query value or a path: what was rendered, as text."""
        value = self.render(template)
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict | list) else str(value)

    def fill(self, text: str) -> str:
        """`text` with the values in braces filled in."""
        for name, value in self.values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def _generate(self, name: str, argument: Any) -> Any:
        rng = self.rng
        match name:
            case "$uuid":
                return str(uuid.UUID(int=rng.getrandbits(128), version=4))
            case "$int":
                return rng.randint(*argument)
            case "$float":
                return round(rng.uniform(*argument), 3)
            case "$choice":
                if isinstance(argument, Mapping):
                    return rng.choices(list(argument), cum_weights=list(accumulate(argument.values())))[0]
                return self.render(rng.choice(argument))
            case "$string":
                return "".join(rng.choices(LETTERS, k=argument))
            case "$now":
                if argument == "iso":
                    moment = datetime.fromtimestamp(self.now_epoch_ms / 1000, UTC)
                    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                return int(self.now_epoch_ms if argument == "epoch_ms" else self.now_epoch_ms / 1000)
            case "$index":
                return self.index
            case "$value":
                return self.values[argument]
            case "$format":
                return self.fill(argument)
        raise AssertionError(f"scenario.py let the generator {name} pass")


def prepare(
    entry: MixEntry,
    *,
    seed: int,
    index: int,
    now_epoch_ms: float,
    to: Origin,
    extra_headers: Mapping[str, str] | None = None,
) -> list[list[Prepared]]:
    """What arrival `index` sends: for each step of its entry, the requests of that step."""
    draw = Draw(seed, index, now_epoch_ms)
    for name, template in entry.values.items():
        draw.values[name] = draw.render(template)
    return [[_prepare(request, draw, to, extra_headers or {}) for request in step.requests] for step in entry.steps]


@lru_cache(maxsize=256)
def _escaped(path: str) -> str:
    return quote(path, safe=PATH_SAFE)


def _prepare(request: Request, draw: Draw, to: Origin, extra_headers: Mapping[str, str]) -> Prepared:
    # A value is one segment of the path: its own slashes and question marks are escaped, the template's are not.
    path = _escaped(request.path)
    for name, value in draw.values.items():
        if "{" in path:
            path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
    if request.query:
        pairs = urlencode({name: draw.text(template) for name, template in request.query.items()})
        path += ("&" if "?" in path else "?") + pairs
    headers = {"Host": to.authority, "User-Agent": f"serverless-lab/{__version__}", "Accept": "*/*"}
    body = b""
    if request.body is not None:
        rendered = draw.render(request.body)
        is_text = isinstance(rendered, str)
        body = (rendered if is_text else _compact(rendered)).encode()
        headers["Content-Type"] = "text/plain; charset=utf-8" if is_text else "application/json"
    if body or request.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(body))
    own = {name: draw.text(template) for name, template in request.headers.items()}
    for name, value in (*own.items(), *extra_headers.items()):
        for usual in [known for known in headers if known.lower() == name.lower()]:
            del headers[usual]
        headers[name] = _CONTROL.sub(" ", value)
    lines = [f"{request.method} {to.prefix}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    head = "".join(f"{line}\r\n" for line in lines).encode("latin-1", errors="replace")
    return Prepared(request, path, head, body)
