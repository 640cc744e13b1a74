"""Deploying to a real MiniStack: what the target has afterwards, and what is said when it refuses."""

from __future__ import annotations

import dataclasses
import io
import json
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from serverless_lab.deploy.destroy import destroy_stack
from serverless_lab.deploy.events import EventReader, Patience, describe_stack, stack_resources
from serverless_lab.deploy.inventory import deployment_is_gone, describe_deployment, require_deployment
from serverless_lab.deploy.progress import StackProgress
from serverless_lab.deploy.stack import Action, deploy_stack
from serverless_lab.deploy.verify import verify_stack
from serverless_lab.errors import BadInput, DeployError, NothingDeployed, TargetError, TemplateRefused
from serverless_lab.project import Deployment, Project
from serverless_lab.targets import resolve_target
from tests.conftest import SAMPLES, free_port

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def get(url: str) -> dict[str, str]:
    with urllib.request.urlopen(url, timeout=30) as response:
        found: dict[str, str] = json.loads(response.read())
    return found


def described(target, stack_name, template, parameters) -> Deployment:
    return describe_deployment(
        target, stack_name=stack_name, template_path=template, parameters=parameters, now=NOW, artifact_bucket="b"
    )


def physical(target, stack_name, resource_type) -> list[str]:
    resources = stack_resources(target.client("cloudformation"), stack_name)
    return [item["PhysicalResourceId"] for item in resources if item["ResourceType"] == resource_type]


def test_a_user_s_template_deploys_and_its_api_answers(deploy, target, stack_name, story, hello):
    result = deploy(hello)
    assert result.action is Action.CREATED
    assert result.notes == ()
    assert result.outputs["HelloFunctionName"].startswith(stack_name)
    assert story.statuses("HelloFunction") == ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
    assert story[-1].logical_id == stack_name
    deployment = described(target, stack_name, hello, result.parameters)
    assert get(f"{deployment.api_url}/hello")["message"] == "hello"
    (function,) = deployment.functions
    assert (function.logical_id, function.runtime, function.memory_size_mb) == ("HelloFunction", "python3.12", 128)
    assert function.log_group == f"/aws/lambda/{function.name}"
    assert Deployment.from_json(json.loads(json.dumps(deployment.to_json()))) == deployment


def test_a_second_deployment_without_a_change_says_so_and_does_nothing(deploy, hello, story):
    deploy(hello)
    told = len(story)
    result = deploy(hello)
    assert result.action is Action.UNCHANGED
    assert not result.changed
    assert len(story) == told, "an event belongs to one deployment only"
    assert result.outputs, "what is deployed is told all the same"


def test_changed_code_and_a_changed_parameter_take_effect(deploy, target, stack_name, hello):
    result = deploy(hello)
    url = f"{described(target, stack_name, hello, result.parameters).api_url}/hello"
    assert get(url)["message"] == "hello"
    result = deploy(hello, Greeting="moin")
    assert result.action is Action.UPDATED
    assert get(url)["message"] == "moin"
    module = hello.parent / "hello" / "app.py"
    module.write_text(module.read_text().replace('"message": GREETING', '"message": GREETING.upper()'))
    assert deploy(hello, Greeting="moin").changed
    assert get(url)["message"] == "MOIN"
    assert deploy(hello).parameters == {"Greeting": "hello"}, "a parameter that is not given has its default again"
    assert get(url)["message"] == "HELLO"


def test_a_parameter_reaches_the_alias_that_events_go_to(deploy, target, stack_name, hello):
    """SAM publishes a version for new code only; the alias would go on serving the old environment variable."""
    hello.write_text(
        hello.read_text().replace(
            "      Handler: app.handler", "      Handler: app.handler\n      AutoPublishAlias: live"
        )
    )
    result = deploy(hello)
    deployment = described(target, stack_name, hello, result.parameters)
    assert deployment.functions[0].alias == "live"
    deploy(hello, Greeting="moin")
    assert get(f"{deployment.api_url}/hello")["message"] == "moin"
    assert verify_stack(target, template_path=hello, stack_name=stack_name, parameters={"Greeting": "moin"}) == ()
    (note,) = verify_stack(target, template_path=hello, stack_name=stack_name, parameters={"Greeting": "salut"})
    assert "environment variable GREETING is moin" in note


def test_layers_that_the_target_does_not_apply_are_told(deploy, target, stack_name, hello):
    """The function comes up, and every invocation fails for what is not there."""
    layer = "\n  Words: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: hello}}\n\nOutputs:\n"
    with_layer = hello.read_text().replace("\nOutputs:\n", layer)
    hello.write_text(with_layer.replace("Handler: app.handler", "Handler: app.handler\n      Layers: [!Ref Words]"))
    result = deploy(hello)
    arguments = {"template_path": hello, "stack_name": stack_name, "parameters": result.parameters}
    assert verify_stack(target, **arguments) == ()

    class WithoutLicence:
        """The same stack on a target that LocalStack 4.8.1 without a licence is like."""

        capabilities = dataclasses.replace(target.capabilities, applies_layers=False)

        def __getattr__(self, name):
            return getattr(target, name)

    (note,) = verify_stack(WithoutLicence(), **arguments)
    assert "`HelloFunction`" in note
    assert "nothing of Words is there" in note


def test_a_schedule_that_the_target_never_fires_is_told(deploy, target, stack_name, hello):
    """A warming schedule that never comes would look like warming that does not help."""
    schedule = """
  Nightly:
    Type: AWS::Scheduler::Schedule
    Properties:
      ScheduleExpression: rate(1 day)
      FlexibleTimeWindow: {Mode: 'OFF'}
      Target: {Arn: !GetAtt HelloFunction.Arn, RoleArn: !GetAtt HelloFunctionRole.Arn}

Outputs:
"""
    hello.write_text(hello.read_text().replace("\nOutputs:\n", schedule))
    result = deploy(hello)
    arguments = {"template_path": hello, "stack_name": stack_name, "parameters": result.parameters}
    assert verify_stack(target, **arguments) == ()

    class Elsewhere:
        """The same stack on a target that LocalStack 4.8.1 is like."""

        capabilities = dataclasses.replace(target.capabilities, fires_scheduler_schedules=False)

        def __getattr__(self, name):
            return getattr(target, name)

    (note,) = verify_stack(Elsewhere(), **arguments)
    assert note.startswith("`Nightly`: localstack makes the schedule and never fires it")


BROKEN = """
  Broken:
    Type: AWS::S3::Bucket
    DependsOn: HelloFunction
    Properties:
      # The artifact bucket's name, which is taken.
      BucketName: !Sub lab-artifacts-${AWS::AccountId}-${AWS::Region}

Outputs:
"""


UNFOUND = """
  Broken:
    Type: AWS::Lambda::Function
    DependsOn: HelloFunction
    Properties:
      Runtime: python3.12
      Handler: index.handler
      Role: !GetAtt HelloFunctionRole.Arn
      Code: {ZipFile: ''}
      Layers: [!Sub 'arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:layer:no-such-layer:1']

Outputs:
"""


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        pytest.param(BROKEN, r"`Broken` \(AWS::S3::Bucket\): .*already", id="refused before it was tried"),
        pytest.param(UNFOUND, r"`Broken` \(AWS::Lambda::Function\): .*layer", id="failed while created"),
    ],
)
def test_a_failed_creation_rolls_back_and_says_which_resource_and_why(deploy, hello, broken, says):
    whole = hello.read_text()
    hello.write_text(whole.replace("\nOutputs:\n", broken))
    with pytest.raises(DeployError, match=f"is in ROLLBACK_COMPLETE: resource {says}") as caught:
        deploy(hello)
    assert "deleted first" in (caught.value.hint or "")
    hello.write_text(whole)
    result = deploy(hello)
    assert result.action is Action.CREATED
    assert "was left in ROLLBACK_COMPLETE by a failed creation: deleted it first" in result.notes[0]


@pytest.mark.parametrize("broken", [BROKEN, UNFOUND], ids=["refused before it was tried", "failed while created"])
def test_a_failed_update_keeps_what_was_deployed(deploy, target, stack_name, hello, broken):
    whole = hello.read_text()
    result = deploy(hello)
    hello.write_text(whole.replace("\nOutputs:\n", broken))
    with pytest.raises(DeployError, match="UPDATE_ROLLBACK_COMPLETE: resource `Broken`"):
        deploy(hello, Greeting="broken")
    deployment = described(target, stack_name, hello, result.parameters)
    assert get(f"{deployment.api_url}/hello")["message"] == "hello"
    hello.write_text(whole)
    deploy(hello, Greeting="again")
    assert get(f"{deployment.api_url}/hello")["message"] == "again"


def test_a_template_the_target_refuses_leaves_no_stack(deploy, target, stack_name, hello):
    hello.write_text(hello.read_text().replace("\nOutputs:\n", "\n  Odd:\n    Type: AWS::No::Such\n\nOutputs:\n"))
    with pytest.raises(DeployError, match=r"refuses the template.*AWS::No::Such"):
        deploy(hello)
    assert describe_stack(target.client("cloudformation"), stack_name) is None


def test_a_wrong_parameter_is_refused_before_the_target_is_asked(tmp_path, hello):
    target = resolve_target("localstack", environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"})
    arguments = {"template_path": hello, "stack_name": "x", "build_directory": tmp_path / "build"}
    with pytest.raises(BadInput):
        deploy_stack(target, parameters={"Greting": "x"}, **arguments)
    with pytest.raises(TargetError, match="does not answer"):
        deploy_stack(target, parameters={}, **arguments)


def test_a_large_template_goes_through_the_bucket(deploy, hello):
    hello.write_text(
        hello.read_text().replace("Description: A user's", f"Metadata: {{Long: {'x' * 60_000}}}\nDescription: A user's")
    )
    assert deploy(hello).action is Action.CREATED


def test_destroy_leaves_nothing(target, stack_name, hello, deploy):
    hello.write_text(hello.read_text().replace("\nOutputs:\n", "\n  Store:\n    Type: AWS::S3::Bucket\n\nOutputs:\n"))
    result = deploy(hello)
    (bucket,) = physical(target, stack_name, "AWS::S3::Bucket")
    s3 = target.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=bucket, Key="k", Body=body)
    s3.put_object(Bucket=bucket, Key="gone", Body=b"")
    s3.delete_object(Bucket=bucket, Key="gone")
    deployment = described(target, stack_name, hello, result.parameters)
    get(f"{deployment.api_url}/hello")
    logs = target.client("logs")
    prefix = deployment.functions[0].log_group
    assert logs.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]

    removal = destroy_stack(target, stack_name)

    assert removal.existed
    assert (removal.objects, removal.log_groups, removal.artifacts, removal.leftovers) == (4, 1, 1, ())
    assert describe_stack(target.client("cloudformation"), stack_name) is None
    assert not logs.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
    assert deployment.functions[0].name not in str(target.client("lambda").list_functions()["Functions"])
    assert bucket not in str(s3.list_buckets()["Buckets"])
    again = destroy_stack(target, stack_name)
    assert not again.existed, "destroying what is not there says so and is no error"


def test_what_the_template_keeps_is_kept_and_named(target, stack_name, hello, deploy):
    kept = "\n  Store:\n    Type: AWS::S3::Bucket\n    DeletionPolicy: Retain\n\nOutputs:\n"
    hello.write_text(hello.read_text().replace("\nOutputs:\n", kept))
    deploy(hello)
    (bucket,) = physical(target, stack_name, "AWS::S3::Bucket")
    s3 = target.client("s3")
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    (leftover,) = destroy_stack(target, stack_name).leftovers
    assert bucket in leftover
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)


def test_two_stacks_on_one_target_do_not_share_artifacts(target, stack_name, hello, deploy, tmp_path):
    """The same code is in both; removing one stack must not take the other's."""
    bucket = deploy(hello).artifact_bucket
    other = f"{stack_name}-other"
    deploy_stack(target, template_path=hello, stack_name=other, parameters={}, build_directory=tmp_path / "build")
    assert destroy_stack(target, other).artifacts == 1
    assert target.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{stack_name}/")["KeyCount"] == 1


def test_a_restarted_emulator_is_told_from_the_one_that_held_the_stack(deploy, target, stack_name, hello):
    result = deploy(hello)
    deployment = described(target, stack_name, hello, result.parameters)
    require_deployment(target, deployment)
    assert not deployment_is_gone(target, deployment)

    class Restarted:
        """The same place in its next life."""

        def __getattr__(self, name):
            return getattr(target, name)

        def instance_id(self):
            return "second"

    before = dataclasses.replace(deployment, instance_id="first", target="local")
    with pytest.raises(
        NothingDeployed, match=f"held stack `{stack_name}` was restarted; its state was in memory"
    ) as caught:
        require_deployment(Restarted(), before)
    assert caught.value.hint == "`lab deploy` brings it back"
    with pytest.raises(NothingDeployed, match="is not running any more"):
        require_deployment(None, before)
    destroy_stack(target, stack_name)
    with pytest.raises(NothingDeployed) as caught:
        require_deployment(target, deployment)
    assert caught.value.hint == "`lab deploy --target localstack` brings it back"


def test_a_stack_that_is_not_there_cannot_be_described(target, hello):
    with pytest.raises(NothingDeployed, match="no stack `nowhere`"):
        described(target, "nowhere", hello, {})


def test_the_deployment_is_remembered_whole(tmp_path, target, stack_name, deploy, hello):
    result = deploy(hello)
    project = Project(tmp_path)
    deployment = described(target, stack_name, hello, result.parameters)
    project.remember_deployment(deployment)
    assert project.deployment() == deployment


def test_waiting_ends_at_its_limit_without_a_second_passing():
    clock = {"now": 0.0}
    patience = Patience(
        first_s=1, longest_s=4, limit_s=60, sleep=lambda s: clock.update(now=clock["now"] + s), now=lambda: clock["now"]
    )
    with pytest.raises(DeployError, match="stack `x` took more than 60 s"):
        for _ in patience.looks("stack `x`"):
            pass
    assert 60 < clock["now"] <= 64


def test_a_reader_tells_only_what_is_new(target, stack_name, deploy, hello):
    result = deploy(hello)
    reader = EventReader(target.client("cloudformation"), stack_name, result.stack_id)
    assert reader.new() == []
    deploy(hello, Greeting="new")
    told = reader.new()
    assert [event.status for event in told if event.logical_id == stack_name] == [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]
    assert reader.new() == []


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_every_resource_and_its_last_status(terminal, deploy, story):
    deploy(SAMPLES / "hello" / "template.yaml")
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=120)
    with StackProgress(console) as progress:
        progress.step("creating the stack")
        for event in story:
            progress.event(event)
    shown = written.getvalue()
    assert "HelloFunction" in shown
    assert "CREATE_COMPLETE" in shown
    assert ("\x1b[" in shown) is terminal


def test_quiet_progress_shows_nothing(story, deploy):
    deploy(SAMPLES / "hello" / "template.yaml")
    written = io.StringIO()
    with StackProgress(Console(file=written), quiet=True) as progress:
        progress.step("creating the stack")
        progress.event(story[0])
    assert written.getvalue() == ""


def test_building_leaves_the_sample_s_folder_alone(deploy):
    folder = SAMPLES / "hello"
    before = sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    deploy(folder / "template.yaml")
    assert sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts) == before
    assert isinstance(folder, Path)


def test_a_target_that_refuses_the_template_as_it_is_gets_it_transformed(deploy, target, stack_name, hello):
    """LocalStack 4.8.1 resolves references before it applies SAM's transform, so it knows no `Function.Alias`."""
    sent = []
    cloudformation = target.client("cloudformation")
    original = cloudformation.create_change_set

    def create_change_set(**request):
        sent.append(json.loads(request["TemplateBody"]))
        if "Transform" in sent[-1]:
            message = "Template format error: Unresolved resource dependencies [HelloFunction.Alias]"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "CreateChangeSet")
        return original(**request)

    cloudformation.create_change_set = create_change_set
    assert deploy(hello).action is Action.CREATED
    assert ["Transform" in document for document in sent] == [True, False]
    assert physical(target, stack_name, "AWS::Lambda::Function")
    text = hello.read_text()
    hello.write_text(text.replace("AWS::Serverless-2016-10-31", "[AWS::Include, AWS::Serverless-2016-10-31]"))
    with pytest.raises(TemplateRefused, match="Unresolved resource dependencies"):
        deploy(hello, Greeting="moin")
