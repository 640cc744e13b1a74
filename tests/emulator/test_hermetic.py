"""What a handler can see: Lambda's environment, and nothing of the user's or of lab's."""

import os
import shutil
import uuid
from pathlib import Path

import pytest

from serverless_lab.emulator import control
from serverless_lab.project import Project
from tests.conftest import python_runtime
from tests.emulator.conftest import Emulator

pytestmark = pytest.mark.process

RESERVED = {
    "_X_AMZN_TRACE_ID",
    "_HANDLER", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}  # fmt: skip

OTHERS = {
    "LANG",
    "TZ",
    "PATH",
    "LD_LIBRARY_PATH",
    "HOME",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "AWS_ENDPOINT_URL",
}


def test_a_users_credentials_and_settings_never_reach_a_handler(project: Project, monkeypatch: pytest.MonkeyPatch):
    secrets = {
        "AWS_ACCESS_KEY_ID": "AKIAUSERSOWNKEY",
        "AWS_SECRET_ACCESS_KEY": "users-own-secret",
        "AWS_SESSION_TOKEN": "users-own-token",
        "AWS_PROFILE": "production",
        "GITHUB_TOKEN": "users-own-github-token",
        "PYTHONPATH": "/somewhere",
        "AWS_CONFIG_FILE": "/users/own/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/users/own/credentials",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.2/users-own",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "users-own-container-token",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/users/own/token",
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/users-own",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://169.254.169.254/users-own",
        "ANYTHING_AT_ALL": "users-own-variable",
    }
    with monkeypatch.context() as shell:
        for name, value in secrets.items():
            shell.setenv(name, value)
        status, _ = control.up(project)
    emulator = Emulator(project, status)
    code = """
        import os
        def handler(event, context):
            parent = open(f"/proc/{os.getppid()}/environ").read()
            return {"own": dict(os.environ), "parent": parent}
    """
    seen = emulator.invoke(emulator.create("see", code)).body
    for value in secrets.values():
        assert value not in seen["own"].values()
        assert value not in seen["parent"]


def test_files_with_a_users_credentials_are_empty_for_a_handler(project: Project, monkeypatch: pytest.MonkeyPatch):
    """Its own credentials are the emulator's, and no profile, key or token of the user's can be read, whatever HOME."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / f"serverless-lab-test-{uuid.uuid4().hex}"  # not below /tmp, which is an environment's own anyway
    try:
        for name in (".aws/credentials", ".aws/sso/cache/token.json", ".ssh/id_ed25519", ".config/gcloud/key"):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text("[default]\naws_access_key_id = AKIAUSERSOWNKEY\n")
        (home / ".netrc").write_text("machine users.own password secret\n")
        with monkeypatch.context() as shell:
            shell.setenv("HOME", str(home))
            shell.setenv("XDG_CACHE_HOME", str(cache))
            status, _ = control.up(project)
        if not status["private_tmp"]:
            pytest.skip("this host allows no mount namespaces: handlers see its files as the user does")
        code = """
            import os, boto3
            def handler(home, context):
                found = [os.path.join(folder, name) for folder, _, names in os.walk(home) for name in names]
                credentials = boto3.Session().get_credentials()
                text = "".join(open(path).read() for path in found)
                return [found, text, credentials.method, credentials.access_key, boto3.Session().available_profiles]
        """
        emulator = Emulator(project, status)
        found, text, method, key, profiles = emulator.invoke(emulator.create("files", code), str(home)).body
        assert found == [str(home / ".netrc")]
        assert text == ""
        assert (method, key[:4], profiles) == ("env", "ASIA", [])
    finally:
        control.down(project)
        shutil.rmtree(home, ignore_errors=True)


def test_the_environment_is_what_lambda_sets_and_the_functions_own_variables(emulator: Emulator):
    name = emulator.create(
        "variables",
        "import os\ndef handler(event, context):\n    return dict(os.environ)\n",
        Environment={"Variables": {"TABLE": "events"}},
    )
    seen = emulator.invoke(name).body
    assert set(seen) - {"TMPDIR", "LC_CTYPE"} == RESERVED | OTHERS | {"TABLE"}
    assert seen["TABLE"] == "events"
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert seen["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert seen["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{python_runtime()}"
    assert seen["AWS_ENDPOINT_URL"] == emulator.url


def test_only_what_the_managed_runtime_holds_can_be_imported(emulator: Emulator):
    """A library that lab itself needs is not there: a handler must bundle it, as on AWS."""
    code = """
        def handler(name, context):
            try:
                return __import__(name).__name__
            except ImportError:
                return None
    """
    name = emulator.create("imports", code)
    for library in ("boto3", "botocore", "urllib3", "json", "sqlite3"):
        assert emulator.invoke(name, library).body == library
    for library in ("pandas", "typer", "locust", "ministack", "serverless_lab", "requests", "pip"):
        assert emulator.invoke(name, library).body is None


def test_the_task_root_comes_first_and_is_where_the_handler_runs(emulator: Emulator):
    code = """
        import os, sys
        def handler(event, context):
            return [os.getcwd(), sys.path[0], os.environ["LAMBDA_TASK_ROOT"]]
    """
    assert len(set(emulator.invoke(emulator.create("root", code)).body)) == 1


def test_each_environment_has_a_tmp_of_its_own(emulator: Emulator):
    """It lives as long as the environment: the next invoke sees it, another environment and the host do not."""
    code = """
        import os, tempfile, time
        def handler(event, context):
            folder = tempfile.gettempdir()
            before = sorted(os.listdir(folder))
            with open(os.path.join(folder, context.aws_request_id), "w"):
                pass
            time.sleep(event)
            return before
    """
    from concurrent.futures import ThreadPoolExecutor

    name = emulator.create("tmp", code)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: emulator.invoke(name, 1.0), range(2)))
    assert [answer.body for answer in answers] == [[], []]
    again = emulator.invoke(name, 0)
    (kept,) = again.body
    assert kept in {answer.request_id for answer in answers}
    assert not Path("/tmp", kept).exists()


def test_a_library_in_a_layer_is_found(emulator: Emulator):
    from tests.emulator.conftest import zip_of

    layer = emulator.client("lambda").publish_layer_version(
        LayerName="greeting", Content={"ZipFile": zip_of({"python/greeting.py": "TEXT = 'hello from a layer'\n"})}
    )
    code = "import greeting\ndef handler(event, context):\n    return greeting.TEXT\n"
    name = emulator.create("layered", code, Layers=[layer["LayerVersionArn"]])
    assert emulator.invoke(name).body == "hello from a layer"
