"""The module that is put beside a function's code, run by real interpreters as a runtime runs a handler."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.coldstarts.platform_events import read_event
from serverless_lab.coldstarts.wrapper_lines import WrapperInit, WrapperInvocation
from serverless_lab.deploy.packaging import package
from serverless_lab.deploy.template import read_template
from serverless_lab.deploy.wrapper import FILES, HANDLER, MODULE, original_handler, plan, wants_wrapper
from serverless_lab.errors import PackagingError
from serverless_lab.targets.base import Capabilities

STREAM_ID = "0123456789abcdef0123456789abcdef"
API_EVENT: dict[str, Any] = {"requestContext": {"stage": "prod"}, "path": "/"}

# Both import the module once and call it for each event, as a runtime does, and print what came back.
PYTHON_RUNTIME = f"""
import json, sys, traceback
sys.path.insert(0, ".")
class Context:
    def __init__(self, number): self.aws_request_id = "request-%d" % number
try:
    from {MODULE} import handler
except Exception:
    traceback.print_exc()
    sys.exit("init failed")
for number, event in enumerate(json.loads(sys.argv[1]), 1):
    try:
        print("ANSWER " + json.dumps(handler(event, Context(number))))
    except Exception:
        print("FAILED " + json.dumps(traceback.format_exc()))
"""
NODE_RUNTIME = f"""
let handler;
try {{ handler = (await import("./{MODULE}.mjs")).handler; }}
catch (error) {{ console.error(error.stack); console.error("init failed"); process.exit(1); }}
for (const [index, event] of JSON.parse(process.argv[2]).entries()) {{
  const context = {{ awsRequestId: `request-${{index + 1}}` }};
  try {{
    const answer = await new Promise((resolve, reject) => {{
      const callback = (error, value) => (error ? reject(error) : resolve(value));
      const result = handler(event, context, callback);
      if (typeof result?.then === "function") result.then(resolve, reject);
      else if (handler.length < 3) resolve(result);
    }});
    console.log("ANSWER " + JSON.stringify(answer ?? null));
  }} catch (error) {{ console.log("FAILED " + JSON.stringify(error.stack)); }}
}}
"""


@dataclass(frozen=True)
class Ran:
    code: int
    out: list[str]
    err: str

    @property
    def lines(self) -> list[WrapperInit | WrapperInvocation]:
        return [line for line in map(read_event, self.out) if isinstance(line, WrapperInit | WrapperInvocation)]

    @property
    def answers(self) -> list[Any]:
        return [json.loads(line.removeprefix("ANSWER ")) for line in self.out if line.startswith("ANSWER ")]

    @property
    def failures(self) -> list[str]:
        return [json.loads(line.removeprefix("FAILED ")) for line in self.out if line.startswith("FAILED ")]


def run(folder: Path, name: str, code: str, handler: str, *events: Any, **variables: str) -> Ran:
    """The code as `name` in `folder`, run with the module beside it: Node.js for .js, .mjs and .cjs, else Python."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code)
    node = file.suffix != ".py"
    shutil.copy(FILES / f"{MODULE}{'.mjs' if node else '.py'}", folder)
    if node:
        if shutil.which("node") is None:
            pytest.skip("no node here")
        (folder / "runtime.mjs").write_text(NODE_RUNTIME)
    command = ["node", "runtime.mjs"] if node else [sys.executable, "-I", "-S", "-c", PYTHON_RUNTIME]
    environment = {"PATH": os.environ["PATH"], "LAB_HANDLER": handler, "_HANDLER": HANDLER, **variables}
    done = subprocess.run(
        [*command, json.dumps(list(events) or [API_EVENT])],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout.splitlines(), done.stderr)


PYTHON_API = """
import time
time.sleep(0.05)
RESPONSE = {"statusCode": 200, "headers": {"x-own": "1"}}
def handler(event, context):
    return RESPONSE
"""
NODE_API = """
await new Promise((resolve) => setTimeout(resolve, 50));
const response = { statusCode: 200, headers: { "x-own": "1" } };
export const handler = async (event) => response;
"""


@pytest.mark.parametrize(("name", "code"), [("app.py", PYTHON_API), ("app.mjs", NODE_API)])
def test_it_tells_of_the_import_once_and_of_the_first_invocation(tmp_path, name, code):
    ran = run(tmp_path, name, code, "app.handler", API_EVENT, API_EVENT, AWS_LAMBDA_FUNCTION_NAME="orders")
    init, first = ran.lines
    assert isinstance(init, WrapperInit)
    assert isinstance(first, WrapperInvocation)
    assert init.duration_ms >= 50, "the handler's import sleeps that long"
    assert (init.function_name, init.status, init.tells_all) == ("orders", None, False)
    assert (first.request_id, first.sequence, first.environment_id) == ("request-1", 1, init.environment_id)
    assert first.init_duration_ms == init.duration_ms
    assert [answer["headers"]["x-lab-request-id"] for answer in ran.answers] == ["request-1", "request-2"]
    assert {answer["headers"]["x-lab-environment-id"] for answer in ran.answers} == {init.environment_id}
    assert {answer["headers"]["x-own"] for answer in ran.answers} == {"1"}


@pytest.mark.parametrize(("name", "code"), [("app.py", PYTHON_API), ("app.mjs", NODE_API)])
def test_where_a_stream_is_no_environment_every_invocation_has_a_line(tmp_path, name, code):
    ran = run(tmp_path, name, code, "app.handler", *[API_EVENT] * 3, LAB_WRAPPER_LINES="all")
    assert [getattr(line, "sequence", "init") for line in ran.lines] == ["init", 1, 2, 3]
    assert all(line.tells_all for line in ran.lines)


@pytest.mark.parametrize(("name", "code"), [("app.py", PYTHON_API), ("app.mjs", NODE_API)])
def test_an_environment_is_called_as_its_log_stream_is(tmp_path, name, code):
    """So that a response's header leads to the stream with its log."""
    stream = f"2026/11/24/[3]{STREAM_ID}"
    ran = run(tmp_path, name, code, "app.handler", AWS_LAMBDA_LOG_STREAM_NAME=stream)
    assert {line.environment_id for line in ran.lines} == {STREAM_ID}


def test_two_processes_have_different_ids(tmp_path):
    one, other = (run(tmp_path, "app.py", PYTHON_API, "app.handler").lines[0] for _ in range(2))
    assert one.environment_id != other.environment_id


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("app.py", "def broken():\n    raise LookupError('no settings')\nbroken()\n", ["broken", "no settings"]),
        ("app.mjs", "function broken() { throw new Error('no settings'); }\nbroken();\n", ["broken", "no settings"]),
    ],
)
def test_an_init_that_fails_fails_as_before_with_its_traceback(tmp_path, name, code, words):
    ran = run(tmp_path, name, code, "app.handler")
    assert ran.code == 1
    assert "init failed" in ran.err
    assert all(word in ran.err for word in words)
    (init,) = ran.lines
    assert isinstance(init, WrapperInit)
    assert init.status == "error"

    # Where the target would lose the traceback, it fails in the invocation, whose log the target keeps.
    kept = run(tmp_path, name, code, "app.handler", LAB_WRAPPER_LINES="all")
    assert kept.code == 0
    assert all(word in kept.failures[0] for word in words)
    assert [type(line) for line in kept.lines] == [WrapperInit, WrapperInvocation]


def test_a_handler_in_a_package_is_found_by_dots_and_by_slashes(tmp_path):
    (tmp_path / "web").mkdir()
    code = "import os\ndef handler(event, context):\n    return os.environ['_HANDLER']\n"
    for handler in ("web.app.handler", "web/app.handler"):
        assert run(tmp_path, "web/app.py", code, handler, {}).answers == [handler], "libraries read _HANDLER"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("app.js", "exports.handler = async () => ({ statusCode: 200 });"),
        ("app.cjs", "module.exports.handler = (event, context, callback) => callback(null, { statusCode: 200 });"),
        ("app.js", "exports.handler = (event, context) => ({ statusCode: 200 });"),
        ("src/app.mjs", "export const handler = async () => ({ statusCode: 200 });"),
        ("app.mjs", "const api = { handler: async () => ({ statusCode: 200 }) };\nexport default api;"),
    ],
)
def test_node_handlers_of_every_form_are_loaded_and_called_as_before(tmp_path, name, code):
    ran = run(tmp_path, name, code, f"{name.rpartition('.')[0]}.handler")
    assert ran.answers[0]["statusCode"] == 200, ran
    assert ran.answers[0]["headers"]["x-lab-request-id"] == "request-1"


@pytest.mark.parametrize("response", [None, "text", [1], {"items": []}, {"statusCode": 200, "headers": None}])
def test_only_an_apis_response_gets_headers(tmp_path, response):
    code = f"def handler(event, context):\n    return {response!r}\n"
    of_queue, of_api = run(tmp_path, "app.py", code, "app.handler", {"Records": []}, API_EVENT).answers
    assert of_queue == response
    is_api = isinstance(response, dict) and "statusCode" in response
    assert (of_api != response) is is_api


# --- how it gets there -----------------------------------------------------------------------------------------------

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters: {Style: {Type: String, Default: eager}}
Globals: {Function: {Runtime: python3.12, Environment: {Variables: {SHARED: '1'}}}}
Resources:
  Plain:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: code, Handler: !Sub '${Style}.handler'}
  Node:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: code, Handler: app.handler, Runtime: nodejs20.x, Environment: {Variables: {OWN: '2'}}}
  Inline:
    Type: AWS::Serverless::Function
    Properties: {InlineCode: 'pass', Handler: index.handler}
  Custom:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: code, Handler: bootstrap, Runtime: provided.al2023}
  Conditional:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: code, Handler: app.handler, Environment: {Variables: !FindInMap [A, B, C]}}
"""


@pytest.fixture
def template(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def handler(event, context): ...\n")
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    return read_template(tmp_path / "template.yaml")


def test_the_handler_moves_into_a_variable_as_the_template_says_it(template):
    """The target resolves what is in it: nobody here knows what `!Sub` will give."""
    wrapping = plan(template, template.artifacts(template.parameter_values({})), tells_all=True)
    assert {name: path.suffix for name, path in wrapping.files.items()} == {"Plain": ".py", "Node": ".mjs"}
    document = template.packaged({}, template.parameter_values({}))
    wrapping.apply(document, template)
    plain, node = (document["Resources"][name]["Properties"] for name in ("Plain", "Node"))
    assert plain["Handler"] == node["Handler"] == HANDLER
    said = {"LAB_HANDLER": {"Fn::Sub": "${Style}.handler"}, "LAB_WRAPPER_LINES": "all"}
    assert plain["Environment"] == {"Variables": said}, "SAM adds those of Globals"
    assert node["Environment"]["Variables"]["OWN"] == "2"
    assert document["Resources"]["Inline"]["Properties"]["Handler"] == "index.handler"
    assert template.properties("Plain")["Handler"] == {"Fn::Sub": "${Style}.handler"}, "the template itself stays"
    assert [note.split("`")[1] for note in wrapping.notes] == ["Inline", "Custom", "Conditional"]


def test_it_is_wanted_where_no_init_duration_is_printed_or_where_the_user_says_so():
    aws = Capabilities(reports_init_duration=True, one_log_stream_per_environment=True, request_id_header=False)
    localstack = Capabilities(reports_init_duration=False, one_log_stream_per_environment=True, request_id_header=False)
    assert [wants_wrapper(aws, asked) for asked in (None, True, False)] == [False, True, False]
    assert [wants_wrapper(localstack, asked) for asked in (None, True, False)] == [True, True, False]


def test_the_zip_has_the_users_files_and_one_more(template, tmp_path):
    (artifact,) = (found for found in template.artifacts({"Style": "eager"}) if found.logical_id == "Plain")
    added = FILES / f"{MODULE}.py"
    plain, wrapped = package(artifact, tmp_path / "build"), package(artifact, tmp_path / "build", added)
    assert plain.digest != wrapped.digest, "an alias has to move to it"
    with zipfile.ZipFile(plain.path) as before, zipfile.ZipFile(wrapped.path) as after:
        assert set(after.namelist()) - set(before.namelist()) == {added.name}
        assert after.read("app.py") == before.read("app.py")
        assert after.read(added.name) == added.read_bytes()


def test_a_finished_zip_gets_the_file_in_a_copy(template, tmp_path):
    with zipfile.ZipFile(tmp_path / "code.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("app.py", "def handler(event, context): ...\n" * 50)
    before = (tmp_path / "code.zip").read_bytes()
    text = TEMPLATE.replace("{CodeUri: code, Handler: !Sub", "{CodeUri: code.zip, Handler: !Sub")
    (tmp_path / "template.yaml").write_text(text)
    artifacts = read_template(tmp_path / "template.yaml").artifacts({"Style": "eager"})
    (artifact,) = (found for found in artifacts if found.logical_id == "Plain")
    first, again = (package(artifact, tmp_path / "build", FILES / f"{MODULE}.py") for _ in range(2))
    assert first.digest == again.digest
    assert (tmp_path / "code.zip").read_bytes() == before
    with zipfile.ZipFile(first.path) as archive:
        assert archive.namelist() == ["app.py", f"{MODULE}.py"]
        assert archive.testzip() is None


def test_a_file_of_that_name_is_not_overwritten(template, tmp_path):
    (tmp_path / "code" / f"{MODULE}.py").write_text("mine = True\n")
    (artifact,) = (found for found in template.artifacts({"Style": "eager"}) if found.logical_id == "Plain")
    with pytest.raises(PackagingError, match=f"has a file {MODULE}.py") as refusal:
        package(artifact, tmp_path / "build", FILES / f"{MODULE}.py")
    assert "--no-wrap" in str(refusal.value.hint)


def test_the_real_handler_is_read_from_the_function_itself():
    configuration = {"Handler": HANDLER, "Environment": {"Variables": {"LAB_HANDLER": "eager.handler"}}}
    assert original_handler(configuration) == "eager.handler"
    assert original_handler({"Handler": "app.handler"}) is None
