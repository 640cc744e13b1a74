"""A server of FilterLogEvents that ends in the middle: `slow_logs.py EVENTS PORT ANSWERS [stall]`.

It prints its port, writes every request to EVENTS.requests, and kills itself at the request after the last answer; with
`stall` it says nothing any more instead. STS answers too, as LocalStack does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

EVENTS = Path(sys.argv[1])
PER_PAGE = 5
IDENTITY = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>000000000000</Account></GetCallerIdentityResult>"
    "</GetCallerIdentityResponse>"
)


class Handler(BaseHTTPRequestHandler):
    answers = int(sys.argv[3])

    def do_GET(self) -> None:
        self._say(404, "{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self.headers.get("X-Amz-Target", "").endswith("FilterLogEvents"):
            self._say(200, IDENTITY)
            return
        request = json.loads(body)
        with EVENTS.with_name(EVENTS.name + ".requests").open("a") as log:
            log.write(body + "\n")
        if Handler.answers == 0 and sys.argv[4:] == ["stall"]:
            signal.pause()
        if Handler.answers == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        Handler.answers -= 1
        found = [
            event
            for event in json.loads(EVENTS.read_text())
            if request["startTime"] <= event["timestamp"] <= request["endTime"]
        ]
        at = int(request.get("nextToken", "0"))
        answer: dict[str, object] = {"events": found[at : at + PER_PAGE]}
        if at + PER_PAGE < len(found):
            answer["nextToken"] = str(at + PER_PAGE)
        self._say(200, json.dumps(answer))

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        return


server = HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
print(server.server_port, flush=True)
server.serve_forever()
