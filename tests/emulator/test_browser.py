"""What web pages can make a browser on this machine send to the emulator: nothing that arrives.

A real Chromium shows pages of other ports and names, which do what any site can do without asking: forms, images,
scripts, frames and requests whose answers they may not read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.emulator.conftest import Emulator
from tests.fidelity.test_api_gateway import api_in_front_of, get
from tests.reporting import chromium
from tests.reporting.chromium import Page

pytestmark = pytest.mark.process

EVIL = "evil.example"

# Each way, and a promise that is kept when the browser is done with it.
ATTACK = """
(async ([api, invoke, control]) => {
  const once = (element, add) => new Promise(done => {
    element.onload = element.onerror = () => done(); add(element);
  });
  const ask = (url, options) => fetch(url, options).then(answer => answer.type, problem => String(problem));
  const form = (url, method) => {
    const frame = document.createElement('iframe');
    frame.name = 'frame' + Math.random();
    document.body.append(frame);  // which loads an empty page at once
    return once(frame, () => {
    const form = Object.assign(document.createElement('form'), {action: url, method, target: frame.name});
    document.body.append(form);
    form.submit();
    });
  };
  const tag = (name, attribute, url) => once(document.createElement(name), element => {
    element[attribute] = url; document.body.append(element);
  });
  const told = [];
  for (const url of [api, invoke, control]) {
    told.push(await ask(url, {method: 'POST', mode: 'no-cors', body: '{}'}));
    told.push(await ask(url, {mode: 'no-cors'}));
    told.push(await ask(url, {method: 'POST', mode: 'no-cors', body: '{}', referrerPolicy: 'no-referrer'}));
    told.push(await ask(url, {method: 'PUT', headers: {'x-amz-invocation-type': 'Event'}, body: '{}'}));
    await form(url, 'post');
    await form(url, 'get');
    await tag('img', 'src', url);
    await tag('script', 'src', url);
    await tag('iframe', 'src', url);
    navigator.sendBeacon(url, '{}');
  }
  return told;
})
"""


class Site(BaseHTTPRequestHandler):
    """Any web site: one empty page under every path."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>a page</title><body></body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """The port of a web site on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A tab of a browser in which an attacker's name leads to this machine."""
    rules = f"MAP {EVIL} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    browser = chromium.start(tmp_path_factory.mktemp("browser"), rules)
    try:
        yield browser.page()
    finally:
        browser.stop()


@pytest.fixture(scope="module")
def api(emulator: Emulator) -> str:
    """The URL of a function behind a REST API, whose log tells each request that arrived."""
    emulator.create("reached", "def handler(event, context):\n    return {'statusCode': 200, 'body': 'hello'}\n")
    return api_in_front_of(emulator, "reached")


def reached(emulator: Emulator) -> int:
    try:
        return sum(message.startswith("START ") for _, message in emulator.log("reached"))
    except emulator.client("logs").exceptions.ResourceNotFoundException:
        return 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", EVIL])
def test_no_page_of_another_site_reaches_a_service_or_the_emulators_control(
    emulator: Emulator, api: str, page: Page, site: int, host: str
):
    before = reached(emulator)
    page.navigate(f"http://{host}:{site}/")
    targets = [api, f"{emulator.url}/2015-03-31/functions/reached/invocations", f"{emulator.url}/_lab/stop"]
    told = page.value(f"({ATTACK})({targets})")
    # The page is told nothing: the answers are opaque, and the one request that asks first is not let through.
    assert set(told) == {"opaque", "TypeError: Failed to fetch"}
    assert len(told) == 12
    assert reached(emulator) == before
    assert get(f"{emulator.url}/_lab/status")[0] == 200


def test_a_name_that_an_attacker_leads_to_this_machine_reaches_nothing(emulator: Emulator, api: str, page: Page):
    """DNS rebinding: for the browser the page and the emulator are one site, and only the Host tells."""
    before = reached(emulator)
    rebound = f"http://{EVIL}:{emulator.status['port']}"
    page.navigate(api.replace(emulator.url, rebound))
    assert f"Host `{EVIL}:{emulator.status['port']}` is not this machine" in page.value("document.body.textContent")
    targets = [api.replace(emulator.url, rebound), f"{rebound}/2015-03-31/functions/reached/invocations"]
    for target in targets:
        asked = f"fetch('{target}', {{method: 'POST', body: '{{}}'}}).then(answer => answer.status)"
        assert page.value(asked) == 403
    assert reached(emulator) == before


def test_an_address_that_somebody_types_is_answered(emulator: Emulator, api: str, page: Page):
    """The emulator can be looked at with a browser; so the tests above would see a request that arrived."""
    before = reached(emulator)
    page.navigate(api)
    assert page.value("document.body.textContent") == "hello"
    assert reached(emulator) == before + 1
