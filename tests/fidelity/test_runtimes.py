"""Runtimes: the interpreter that is asked for, functions that bring their own, and Node.js."""

from __future__ import annotations

import re

import pytest

from tests.emulator.conftest import Emulator
from tests.fidelity.functions import (
    create,
    layer,
    needs_curl,
    needs_files_of_its_own,
    needs_its_version,
    needs_node,
    needs_python,
)
from tests.fidelity.table import Area, Grade, aws

pytestmark = pytest.mark.process

RUNTIMES = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html"
CUSTOM = "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html"
API = "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html"
VARIABLES = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"
NODE = "https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html"
NODE_CONTEXT = "https://docs.aws.amazon.com/lambda/latest/dg/nodejs-context.html"
NODE_LOGS = "https://docs.aws.amazon.com/lambda/latest/dg/nodejs-logging.html"

# A bootstrap that answers every event with itself and its variables, in nothing but a shell and curl.
BOOTSTRAP = """\
    #!/bin/bash
    set -euo pipefail
    API="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
    while true; do
        HEADERS="$(mktemp)"
        EVENT=$(curl -sS -D "$HEADERS" "$API/next")
        ID=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$HEADERS" | tr -d '[:space:]' | cut -d: -f2)
        echo "event $EVENT"
        NAMES=$(env | cut -d= -f1 | sort | tr '\\n' ' ')
        ANSWER="{\\"event\\": $EVENT, \\"names\\": \\"$NAMES\\", \\"at\\": \\"$0\\"}"
        curl -sS -o /dev/null "$API/$ID/response" -d "$ANSWER"
    done
"""


@needs_python(12)
@needs_python(13)
@aws(Area.RUNTIMES, "A function runs on the version of Python that its Runtime names.", source=RUNTIMES)
def test_python_functions_run_on_the_version_they_name(emulator: Emulator):
    code = {"index.py": "import sys\ndef handler(event, context):\n    return list(sys.version_info[:2])\n"}
    for runtime, version in (("python3.12", [3, 12]), ("python3.13", [3, 13])):
        needs_its_version(runtime)
        name = create(emulator, f"rt-{runtime.replace('.', '-')}", runtime, code)
        assert emulator.invoke(name).body == version
        assert emulator.log(name)[0][1].startswith(f"INIT_START Runtime Version: python:{version[0]}.{version[1]}.")


@needs_curl
@aws(
    Area.RUNTIMES,
    "An OS-only runtime runs any executable `bootstrap` of the package, over plain HTTP.",
    source=f"{CUSTOM} {API}",
)
def test_a_bootstrap_of_the_functions_own_serves_events(emulator: Emulator):
    needs_files_of_its_own(emulator)
    name = create(emulator, "rt-bash", "provided.al2023", {"bootstrap": BOOTSTRAP}, executable=("bootstrap",))
    first, second = emulator.invoke(name, {"n": 1}), emulator.invoke(name, {"n": 2})
    assert (first.body["event"], second.body["event"]) == ({"n": 1}, {"n": 2})
    assert first.body["at"] == "/var/task/bootstrap"
    assert 'event {"n": 1}\n' in [message for _, message in emulator.log(name)]
    reports = emulator.reports(name)
    assert [report.init_duration_ms is not None for report in reports] == [True, False]


@needs_curl
@aws(
    Area.RUNTIMES,
    "In an OS-only runtime neither `_X_AMZN_TRACE_ID` nor `AWS_EXECUTION_ENV` is set.",
    source=VARIABLES,
)
def test_os_only_runtimes_have_fewer_variables(emulator: Emulator):
    name = create(emulator, "rt-names", "provided.al2", {"bootstrap": BOOTSTRAP}, executable=("bootstrap",))
    names = set(emulator.invoke(name).body["names"].split())
    assert {"_HANDLER", "LAMBDA_TASK_ROOT", "AWS_LAMBDA_RUNTIME_API", "AWS_REGION"} <= names
    assert not names & {"_X_AMZN_TRACE_ID", "AWS_EXECUTION_ENV", "_LAMBDA_TELEMETRY_LOG_FD"}


@needs_curl
@aws(Area.RUNTIMES, "A bootstrap may come in a layer.", source=CUSTOM)
def test_a_bootstrap_may_come_in_a_layer(emulator: Emulator):
    needs_files_of_its_own(emulator)
    arn = layer(emulator, "rt-bootstrap", {"bootstrap": BOOTSTRAP}, executable=("bootstrap",))
    name = create(emulator, "rt-layered", "provided.al2023", {"data.txt": "nothing"}, Layers=[arn])
    assert emulator.invoke(name).body["at"] == "/opt/bootstrap"


@aws(
    Area.RUNTIMES,
    "A package without a bootstrap fails with Runtime.InvalidEntrypoint, which names where it was looked for.",
    source="https://github.com/bakdata/aws-lambda-r-runtime/issues/62",
    grade=Grade.RECORDED,
)
def test_a_missing_bootstrap_is_told(emulator: Emulator):
    answer = emulator.invoke(create(emulator, "rt-none", "provided.al2023", {"data.txt": "nothing"}))
    assert answer.function_error == "Unhandled"
    assert answer.body == {
        "errorMessage": f"RequestId: {answer.request_id} Error: "
        "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
        "errorType": "Runtime.InvalidEntrypoint",
    }


@aws(
    Area.RUNTIMES,
    "The zip's execute bit counts: a bootstrap without it fails with `permission denied`.",
    source="https://github.com/awslabs/aws-lambda-dart-runtime/issues/20",
    grade=Grade.RECORDED,
)
def test_a_bootstrap_that_is_not_executable_is_told(emulator: Emulator):
    needs_files_of_its_own(emulator)
    answer = emulator.invoke(create(emulator, "rt-mode", "provided.al2023", {"bootstrap": BOOTSTRAP}))
    assert answer.body == {
        "errorMessage": f"RequestId: {answer.request_id} Error: fork/exec /var/task/bootstrap: permission denied",
        "errorType": "Runtime.InvalidEntrypoint",
    }


@aws(
    Area.RUNTIMES,
    "A bootstrap that cannot be started is told twice, of the Init phase and of its repeat in the Invoke phase.",
    source="https://github.com/cdklabs/cdk-ecr-deployment/issues/651",
    grade=Grade.RECORDED,
)
def test_a_bootstrap_that_cannot_start_leaves_two_init_reports(emulator: Emulator):
    name = create(emulator, "rt-twice", "provided.al2023", {"bootstrap": "no program\n"}, executable=("bootstrap",))
    emulator.invoke(name)
    told = [re.sub(r"[\d.]+ ms", "N ms", message).rstrip() for _, message in emulator.log(name)]
    wanted = "INIT_REPORT Init Duration: N ms\tPhase: {}\tStatus: error\tError Type: Runtime.InvalidEntrypoint"
    assert told[1:3] == [wanted.format("init"), wanted.format("invoke")]


@needs_node
@aws(
    Area.RUNTIMES,
    "A Node.js handler may be an ES module, in a folder, and async.",
    source=NODE,
)
def test_an_async_handler_of_an_es_module_in_a_folder(emulator: Emulator):
    code = "export const handler = async (event) => ({ doubled: event.n * 2, node: process.version });\n"
    files = {"src/index.mjs": code}
    name = create(emulator, "rt-esm", "nodejs20.x", files, handler="src/index.handler")
    body = emulator.invoke(name, {"n": 21}).body
    assert body["doubled"] == 42
    assert emulator.log(name)[0][1].startswith(f"INIT_START Runtime Version: nodejs:{body['node'][1:]}")


@needs_node
@aws(
    Area.RUNTIMES,
    "A Node.js callback's result is sent when the event loop is empty, and at once when the context says so.",
    source=NODE_CONTEXT,
)
def test_a_callback_waits_for_an_empty_event_loop_or_does_not(emulator: Emulator):
    code = """
        exports.handler = (event, context, callback) => {
            context.callbackWaitsForEmptyEventLoop = event;
            setTimeout(() => console.log('later'), 200);
            callback(null, 'answer');
        };
    """
    for waits, at_least in ((True, 200), (False, 0)):
        name = create(emulator, f"rt-callback-{waits}", "nodejs20.x", {"index.js": code})
        assert emulator.invoke(name, waits).body == "answer"
        (report,) = emulator.reports(name)
        assert report.duration_ms >= at_least
        assert any("later" in message for _, message in emulator.log(name)) is waits


@needs_node
@aws(
    Area.RUNTIMES,
    "A Node.js context has the function's names, memory and log stream, and tells the time that is left.",
    source=NODE_CONTEXT,
)
def test_a_node_context(emulator: Emulator):
    code = """
        exports.handler = async (event, context) => ({ ...context, left: context.getRemainingTimeInMillis() });
    """
    name = create(emulator, "rt-context", "nodejs20.x", {"index.js": code})
    answer = emulator.invoke(name)
    left = answer.body.pop("left")
    assert 0 < left <= 20_000
    assert answer.body == {
        "callbackWaitsForEmptyEventLoop": True,
        "functionName": "rt-context",
        "functionVersion": "$LATEST",
        "memoryLimitInMB": "512",
        "invokedFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:rt-context",
        "awsRequestId": answer.request_id,
        "logGroupName": "/aws/lambda/rt-context",
        "logStreamName": emulator.log(name)[0][0],
    }


@needs_node
@aws(
    Area.RUNTIMES,
    "Node.js logs time, request id and level before each message, tab-separated, and `Invoke Error` with a stack.",
    source=f"{NODE_LOGS} https://docs.aws.amazon.com/lambda/latest/dg/nodejs-exceptions.html",
)
def test_the_log_of_a_node_function(emulator: Emulator):
    needs_files_of_its_own(emulator)
    code = """
        exports.handler = async () => {
            console.info('two\\nlines', { a: 1 });
            throw new TypeError('no');
        };
    """
    name = create(emulator, "rt-log", "nodejs20.x", {"index.js": code})
    answer = emulator.invoke(name)
    assert answer.function_error == "Unhandled"
    assert {key: answer.body[key] for key in ("errorType", "errorMessage")} == {
        "errorType": "TypeError",
        "errorMessage": "no",
    }
    assert answer.body["trace"][:2] == ["TypeError: no", "    at exports.handler (/var/task/index.js:4:11)"]
    info, error = [message for _, message in emulator.log(name) if "\tINFO\t" in message or "\tERROR\t" in message]
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"{time}\t{answer.request_id}\tINFO\ttwo\nlines {{ a: 1 }}\n", info)
    start = r'Invoke Error \t{"errorType":"TypeError","errorMessage":"no","stack":\["TypeError: no",'
    assert re.match(rf"{time}\t{answer.request_id}\tERROR\t{start}", error)


@needs_node
@aws(
    Area.RUNTIMES,
    "A rejected promise that nobody handles ends a Node.js runtime, with Runtime.UnhandledPromiseRejection.",
    source="https://docs.aws.amazon.com/lambda/latest/dg/nodejs-exceptions.html",
)
def test_an_unhandled_rejection_ends_the_runtime(emulator: Emulator):
    code = """
        exports.handler = (event, context, callback) => {
            Promise.reject(new Error('lost'));
            setTimeout(() => callback(null, 'never'), 5000);
        };
    """
    answer = emulator.invoke(create(emulator, "rt-rejection", "nodejs20.x", {"index.js": code}))
    assert answer.body["errorType"] == "Runtime.UnhandledPromiseRejection"
    assert answer.body["errorMessage"] == "Error: lost"


@needs_node
@aws(
    Area.RUNTIMES,
    "A Node.js module that cannot be found, parsed, or lacks the handler fails Init with an error type of its own.",
    source="https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-deployment.html",
)
def test_what_keeps_a_node_handler_from_loading(emulator: Emulator):
    cases = {
        "Runtime.ImportModuleError": ("require('./missing');\n", "Error: Cannot find module './missing'"),
        "Runtime.UserCodeSyntaxError": ("exports.handler = ( => {\n", "SyntaxError: Unexpected token '=>'"),
        "Runtime.HandlerNotFound": ("exports.other = 1;\n", "index.handler is undefined or not exported"),
    }
    for error_type, (code, message) in cases.items():
        name = create(emulator, f"rt-{error_type.partition('.')[2]}", "nodejs20.x", {"index.js": code})
        body = emulator.invoke(name).body
        assert (body["errorType"], body["errorMessage"].partition("\n")[0]) == (error_type, message)


@needs_node
@aws(
    Area.RUNTIMES,
    "AWS's SDK v3 is part of the Node.js runtime, for CommonJS and for ES modules.",
    source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html",
    differs="the clients most functions use: DynamoDB, S3, SQS, SNS, SSM, EventBridge, Lambda, Secrets Manager",
)
def test_aws_sdk_is_part_of_the_node_runtime(emulator: Emulator):
    code = """
        import { SQSClient, CreateQueueCommand } from '@aws-sdk/client-sqs';
        const client = new SQSClient({});
        const create = (name) => client.send(new CreateQueueCommand({ QueueName: name }));
        export const handler = async (name) => (await create(name)).QueueUrl;
    """
    answer = emulator.invoke(create(emulator, "rt-sdk", "nodejs20.x", {"index.mjs": code}), "from-node")
    if answer.function_error and "Cannot find package '@aws-sdk" in answer.body["errorMessage"]:
        pytest.skip("npm could not fetch the SDK on this host")
    assert answer.body.endswith("/from-node")
