"""The execution environment: variables, layers, /tmp and what a function finds where."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import python_runtime
from tests.emulator.conftest import Emulator
from tests.fidelity.functions import archive, create, layer, needs_files_of_its_own, needs_its_version, needs_python
from tests.fidelity.table import Area, Grade, aws

pytestmark = pytest.mark.process

VARIABLES = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"
LAYERS = "https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html"
LAYER_PATHS = "https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html"
STORAGE = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html"
LIMITS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
ENVIRONMENT = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"

NOTHING = {"index.py": "def handler(event, context):\n    return None\n"}


def refused(emulator: Emulator, name: str, **options: Any) -> tuple[str, str]:
    """Error code and message of a CreateFunction that is refused; nothing is created."""
    with pytest.raises(ClientError) as caught:
        create(emulator, name, python_runtime(), NOTHING, **options)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    with pytest.raises(ClientError):
        emulator.client("lambda").get_function(FunctionName=name)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def refused_size(emulator: Emulator, size: int) -> tuple[str, str]:
    """Past botocore, which checks the lower bound itself."""
    body = {
        "FunctionName": f"env-tmp-{size}",
        "Role": "arn:aws:iam::000000000000:role/lab",
        "Handler": "index.handler",
        "Runtime": python_runtime(),
        "Code": {"ZipFile": base64.b64encode(archive(NOTHING)).decode()},
        "EphemeralStorage": {"Size": size},
    }
    request = urllib.request.Request(f"{emulator.url}/2015-03-31/functions", json.dumps(body).encode(), method="POST")
    request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    return str(caught.value.headers["x-amzn-errortype"]), json.loads(caught.value.read())["message"]


RESERVED_TEXT = (
    "Lambda was unable to configure your environment variables because the environment variables you have provided "
    "contains reserved keys that are currently not supported for modification. "
    "Reserved keys used in this request: AWS_REGION"
)


@aws(
    Area.ENVIRONMENT,
    "Reserved environment variables are refused on create and on update, by name.",
    source=VARIABLES,
)
def test_reserved_variables_are_refused(emulator: Emulator):
    found = refused(emulator, "env-reserved", Environment={"Variables": {"AWS_REGION": "x"}})
    assert found == ("InvalidParameterValueException", RESERVED_TEXT)
    name = create(emulator, "env-update", python_runtime(), NOTHING)
    for reserved in ("_HANDLER", "AWS_SESSION_TOKEN", "LAMBDA_TASK_ROOT", "AWS_LAMBDA_INITIALIZATION_TYPE"):
        with pytest.raises(ClientError, match=f"Reserved keys used in this request: {reserved}$"):
            emulator.client("lambda").update_function_configuration(
                FunctionName=name, Environment={"Variables": {reserved: "x"}}
            )


@aws(
    Area.ENVIRONMENT,
    "A function's environment variables may have 4 KB in all.",
    source=f"{LIMITS} https://github.com/github-aws-runners/terraform-aws-github-runner/issues/3594",
    grade=Grade.RECORDED,
)
def test_variables_have_four_kilobytes(emulator: Emulator):
    code, message = refused(emulator, "env-long", Environment={"Variables": {"LONG": "x" * 4_096}})
    assert code == "InvalidParameterValueException"
    assert message.startswith(
        "Lambda was unable to configure your environment variables because the environment variables you have provided "
        'exceeded the 4KB limit. String measured: {"LONG":"xxx'
    )


@aws(
    Area.ENVIRONMENT,
    "A variable's name begins with a letter and has at least two characters: letters, digits, underscores.",
    source="https://docs.aws.amazon.com/lambda/latest/api/API_Environment.html",
)
def test_names_of_variables(emulator: Emulator):
    for wrong in ("1ST", "A", "MY-TABLE"):
        code, message = refused(emulator, "env-name", Environment={"Variables": {wrong: "x"}})
        assert code == "ValidationException"
        assert "[a-zA-Z]([a-zA-Z0-9_])+" in message


@aws(
    Area.ENVIRONMENT,
    "/tmp has 512 MB unless the function asks for more: writing past it fails with `No space left on device`.",
    source=STORAGE,
)
def test_tmp_is_full_at_its_size(emulator: Emulator):
    code = """
        def handler(event, context):
            piece, written = b'x' * 1_048_576, 0
            try:
                with open('/tmp/large', 'wb', buffering=0) as file:
                    for _ in range(600):
                        written += file.write(piece)
            except OSError as error:
                return [written // 1_048_576, error.strerror]
    """
    needs_files_of_its_own(emulator)
    name = create(emulator, "env-tmp", python_runtime(), {"index.py": code}, MemorySize=1769, Timeout=60)
    assert emulator.invoke(name).body == [512, "No space left on device"]


@aws(Area.ENVIRONMENT, "/tmp may have 512 to 10,240 MB.", source=STORAGE)
def test_bounds_of_tmp(emulator: Emulator):
    for size in (511, 10_241):
        code, message = refused_size(emulator, size)
        assert code == "ValidationException"
        assert message.startswith(f"1 validation error detected: Value '{size}' at 'ephemeralStorage.size'")


@aws(
    Area.ENVIRONMENT,
    "After a runtime has crashed /tmp is still there in the environment that is reset, and what was in memory is not.",
    source=ENVIRONMENT,
)
def test_tmp_outlives_a_crash(emulator: Emulator):
    code = """
        import os
        SEEN = []
        def handler(event, context):
            before = [len(SEEN), sorted(os.listdir('/tmp'))]
            SEEN.append(event)
            open('/tmp/kept', 'w').close()
            if event == 'crash':
                os._exit(3)
            return before
    """
    needs_files_of_its_own(emulator)
    name = create(emulator, "env-crash", python_runtime(), {"index.py": code})
    assert emulator.invoke(name, "crash").function_error == "Unhandled"
    assert emulator.invoke(name, "look").body == [0, ["kept"]]
    assert len({stream for stream, _ in emulator.log(name)}) == 1


@aws(
    Area.ENVIRONMENT,
    "The code is at /var/task, where the handler runs, and cannot be written to.",
    source=VARIABLES,
)
def test_the_task_root_is_read_only(emulator: Emulator):
    code = """
        import os
        def handler(event, context):
            try:
                open('/var/task/new', 'w')
            except OSError as error:
                return [os.getcwd(), __file__, os.environ['LAMBDA_TASK_ROOT'], error.strerror]
    """
    needs_files_of_its_own(emulator)
    name = create(emulator, "env-root", python_runtime(), {"index.py": code})
    assert emulator.invoke(name).body == ["/var/task", "/var/task/index.py", "/var/task", "Read-only file system"]


@aws(
    Area.ENVIRONMENT,
    "Layers are unpacked into /opt in the function's order: of a file in two of them, the last one's is there.",
    source=LAYERS,
)
def test_layers_lie_one_over_the_other(emulator: Emulator):
    first = layer(emulator, "env-first", {"python/both.py": "LAYER = 'first'\n", "data/one.txt": "1"})
    second = layer(emulator, "env-second", {"python/both.py": "LAYER = 'second'\n", "data/two.txt": "2"})
    code = """
        import os, both
        def handler(event, context):
            return [both.LAYER, both.__file__, sorted(os.listdir('/opt/data'))]
    """
    needs_files_of_its_own(emulator)
    for number, (order, wanted) in enumerate((([first, second], "second"), ([second, first], "first"))):
        name = create(emulator, f"env-order-{number}", python_runtime(), {"index.py": code}, Layers=order)
        assert emulator.invoke(name).body == [wanted, "/opt/python/both.py", ["one.txt", "two.txt"]]


@needs_python(12)
@aws(
    Area.ENVIRONMENT,
    "A layer's python/lib/python3.x/site-packages comes before its python, and the function's own code before both.",
    source=LAYER_PATHS,
)
def test_where_a_layers_modules_are_looked_for(emulator: Emulator):
    needs_its_version("python3.12")
    files = {
        "python/lib/python3.12/site-packages/one.py": "FROM = 'site-packages'\n",
        "python/one.py": "FROM = 'python'\n",
        "python/lib/python3.12/site-packages/two.py": "FROM = 'site-packages'\n",
    }
    arn = layer(emulator, "env-paths", files)
    code = "import one, two\ndef handler(event, context):\n    return [one.FROM, two.FROM]\n"
    own = {"index.py": code, "two.py": "FROM = 'function'\n"}
    name = create(emulator, "env-paths", "python3.12", own, Layers=[arn])
    assert emulator.invoke(name).body == ["site-packages", "function"]


@aws(
    Area.ENVIRONMENT,
    "/opt/bin is on the PATH and /opt/lib on LD_LIBRARY_PATH.",
    source=f"{LAYER_PATHS} {VARIABLES}",
)
def test_a_layers_programs_are_found(emulator: Emulator):
    arn = layer(emulator, "env-bin", {"bin/greet": "#!/bin/sh\necho hello from $0\n"}, executable=("bin/greet",))
    code = """
        import os, subprocess
        def handler(event, context):
            said = subprocess.run(['greet'], capture_output=True, text=True).stdout
            return [said, os.environ['LD_LIBRARY_PATH'].split(':')]
    """
    name = create(emulator, "env-bin", python_runtime(), {"index.py": code}, Layers=[arn])
    said, libraries = emulator.invoke(name).body
    assert said.startswith("hello from ") and said.endswith("/bin/greet\n")
    assert {"/var/task", "/var/task/lib", "/opt/lib"} <= set(libraries) or not emulator.status["private_tmp"]


@aws(Area.ENVIRONMENT, "A function may have five layers.", source=LIMITS)
def test_five_layers_at_most(emulator: Emulator):
    arns = [layer(emulator, f"env-many-{number}", {"data.txt": str(number)}) for number in range(6)]
    found = refused(emulator, "env-many", Layers=arns)
    assert found == ("InvalidParameterValueException", "Cannot reference more than 5 layers.")
    create(emulator, "env-five", python_runtime(), NOTHING, Layers=arns[:5])


@aws(
    Area.ENVIRONMENT,
    "Two versions of one layer are refused.",
    source="https://github.com/localstack/localstack",
    grade=Grade.RECORDED,
)
def test_two_versions_of_a_layer_are_refused(emulator: Emulator):
    arns = [layer(emulator, "env-versions", {"data.txt": text}) for text in "ab"]
    code, message = refused(emulator, "env-versions", Layers=arns)
    assert code == "InvalidParameterValueException"
    assert message == (
        "Two different versions of the same layer are not allowed to be referenced in the same function. "
        f"{arns[0]} and {arns[1]} are versions of the same layer."
    )


@aws(
    Area.ENVIRONMENT,
    "A function's own variables may replace PATH, LANG or TZ, and are there literally.",
    source=VARIABLES,
)
def test_what_a_function_may_set_itself(emulator: Emulator):
    code = "import os\ndef handler(event, context):\n    return [os.environ[n] for n in ('TZ', 'LANG', 'MINE')]\n"
    own = {"TZ": "Europe/Vienna", "LANG": "C.UTF-8", "MINE": "$HOME ${X} 'x'"}
    name = create(emulator, "env-own", python_runtime(), {"index.py": code}, Environment={"Variables": own})
    assert emulator.invoke(name).body == ["Europe/Vienna", "C.UTF-8", "$HOME ${X} 'x'"]
