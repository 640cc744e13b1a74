"""The AWS path against replies written by hand from botocore's models. Nothing here has run on AWS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from serverless_lab.cli.doctor_aws import look_at_aws
from serverless_lab.cli.findings import BAD, DOUBTFUL, GOOD
from serverless_lab.deploy.destroy import destroy_stack
from serverless_lab.deploy.inventory import describe_deployment
from serverless_lab.deploy.log_groups import tag_log_groups
from serverless_lab.deploy.stack import Action, DeployResult, deploy_stack
from serverless_lab.deploy.verify import verify_stack
from serverless_lab.errors import DeployError, TargetError
from serverless_lab.project import Deployment
from serverless_lab.scenario import load_scenario
from serverless_lab.targets.aws import AwsTarget
from serverless_lab.targets.permissions import EMULATORS_ONLY, lab_policy
from tests.aws.account import ACCOUNT, USER_ARN, AccountOnPaper
from tests.aws.conftest import ACCESS_KEY_ID, REGION
from tests.aws.hooks import Refused, Request
from tests.aws.policy import refused
from tests.conftest import SAMPLES

HELLO = SAMPLES / "hello" / "template.yaml"
STACK = "lab-hello"
MakeTarget = Callable[..., AwsTarget]


@pytest.fixture
def account() -> AccountOnPaper:
    return AccountOnPaper(stack_name=STACK)


@pytest.fixture
def target(on_aws: MakeTarget, account: AccountOnPaper, at_once: None) -> AwsTarget:
    return on_aws(account)


@pytest.fixture
def deploy(target: AwsTarget, tmp_path: Path) -> Callable[..., DeployResult]:
    def run(**parameters: str) -> DeployResult:
        return deploy_stack(
            target, template_path=HELLO, stack_name=STACK, parameters=parameters, build_directory=tmp_path / "build"
        )

    return run


def test_a_deployment_makes_a_tagged_private_bucket_and_a_tagged_stack_from_the_untransformed_template(
    deploy: Callable[..., DeployResult], target: AwsTarget, account: AccountOnPaper
) -> None:
    result = deploy()
    assert result.action is Action.CREATED
    tags = [{"Key": "created-by", "Value": "serverless-lab"}]
    (bucket,) = account.of("s3.CreateBucket")
    assert bucket["Bucket"] == f"lab-artifacts-{ACCOUNT}-{REGION}"
    assert bucket["CreateBucketConfiguration"] == {"LocationConstraint": REGION}
    assert account.of("s3.PutBucketTagging")[0]["Tagging"] == {"TagSet": tags}
    assert all(account.of("s3.PutPublicAccessBlock")[0]["PublicAccessBlockConfiguration"].values())
    assert all(item["ExpectedBucketOwner"] == ACCOUNT for item in account.of("s3.PutObject"))
    (asked,) = account.of("cloudformation.CreateChangeSet")
    assert "AWS::Serverless-2016-10-31" in asked["TemplateBody"]
    assert "CAPABILITY_AUTO_EXPAND" in asked["Capabilities"]
    assert asked["Tags"] == tags
    assert verify_stack(target, template_path=HELLO, stack_name=STACK, parameters=result.parameters) == ()
    deployment = _described(target)
    assert deployment.api_url == f"https://a1b2c3.execute-api.{REGION}.amazonaws.com/Prod"
    assert (deployment.account_id, deployment.endpoint_url) == (ACCOUNT, None)


def test_a_bucket_whose_making_was_broken_off_is_tagged_and_made_private_by_the_next_deployment(
    deploy: Callable[..., DeployResult], account: AccountOnPaper
) -> None:
    """lab may be killed between two requests; a tag that somebody else has given stays."""
    theirs = {"Key": "cost-centre", "Value": "7"}
    for found in ([], [theirs]):
        account.keys, account.bucket_tags = [], found
        deploy()
        assert account.bucket_tags == [*found, {"Key": "created-by", "Value": "serverless-lab"}]
    assert len(account.of("s3.PutPublicAccessBlock")) == 2
    deploy()
    assert len(account.of("s3.PutPublicAccessBlock")) == 2, "a whole one is left alone"
    account.bucket_tags = []
    account.replies["s3.GetBucketTagging"] = Refused("AccessDenied", "not authorized", 403)
    deploy()
    assert account.bucket_tags == [], "tags that nobody may see are not written over"


def test_the_functions_log_groups_are_tagged_whether_lambda_has_made_them_or_not(
    deploy: Callable[..., DeployResult], target: AwsTarget, account: AccountOnPaper
) -> None:
    """CloudFormation's tags do not get there: a function's log group is no resource of the stack."""
    deploy()
    (function,) = _described(target).functions
    ours = {"created-by": "serverless-lab"}
    assert tag_log_groups(target, [function]) == ()
    assert account.log_groups == {function.log_group: ours}
    account.log_groups[function.log_group] = {"team": "shop"}
    assert tag_log_groups(target, [function]) == ()
    assert account.log_groups == {function.log_group: {"team": "shop", **ours}}
    assert tag_log_groups(target, [replace(function, log_group="/custom")]) == ()
    assert list(account.log_groups) == [function.log_group], "another name is the user's own"
    for name in ("CreateLogGroup", "TagResource"):
        account.replies[f"logs.{name}"] = Refused("AccessDeniedException", f"not authorized to perform: logs:{name}")
        (note,) = tag_log_groups(target, [function])
        assert f"logs:{name}" in note
        account.log_groups, account.replies["logs.CreateLogGroup"] = (
            {function.log_group: {}},
            account.logs__CreateLogGroup,
        )
    problems = {text for request in account.requests for text in refused(lab_policy(), request, ACCOUNT, REGION)}
    assert problems == set()


def _described(target: AwsTarget) -> Deployment:
    return describe_deployment(target, stack_name=STACK, template_path=HELLO, parameters={}, now=datetime.now(UTC))


def test_every_request_goes_to_aws_s_own_hosts_signed_and_is_in_the_table_of_permissions(
    deploy: Callable[..., DeployResult], target: AwsTarget, account: AccountOnPaper
) -> None:
    result = deploy()
    verify_stack(target, template_path=HELLO, stack_name=STACK, parameters=result.parameters)
    destroy_stack(target, STACK)
    for name in ("s3.PutObject", "s3.ListObjectVersions", "s3.DeleteObjects", "s3.DeleteBucket"):
        assert all(item["ExpectedBucketOwner"] == ACCOUNT for item in account.of(name)), name
    for request in account.requests:
        assert request.host.endswith(f"{REGION}.amazonaws.com"), request
        assert f"{ACCESS_KEY_ID}/" in request.headers["Authorization"]
        assert f"/{REGION}/" in request.headers["Authorization"]
    problems = {text for request in account.requests for text in refused(lab_policy(), request, ACCOUNT, REGION)}
    assert problems == set()
    assert not {(request.service, request.operation) for request in account.requests} & set(EMULATORS_ONLY)


def test_who_the_caller_is_is_asked_once(
    deploy: Callable[..., DeployResult], account: AccountOnPaper, target: AwsTarget
) -> None:
    target.account_id()
    deploy()
    assert account.names().count("sts.GetCallerIdentity") == 1


def test_a_second_deployment_without_a_change_says_so(
    deploy: Callable[..., DeployResult], account: AccountOnPaper
) -> None:
    deploy()
    account.changes = False
    assert deploy().action is Action.UNCHANGED
    assert len(account.of("cloudformation.ExecuteChangeSet")) == 1
    assert len(account.of("s3.PutObject")) == 1, "the same code is there already"


def test_a_failed_creation_names_the_resource_and_the_next_one_deletes_the_rest(
    deploy: Callable[..., DeployResult], account: AccountOnPaper
) -> None:
    account.fails_with = "The role defined for the function cannot be assumed by Lambda."
    with pytest.raises(DeployError, match=r"is in ROLLBACK_COMPLETE: resource `HelloFunction` .*cannot be assumed"):
        deploy()
    account.fails_with = None
    assert "left in ROLLBACK_COMPLETE" in deploy().notes[0]
    assert len(account.of("cloudformation.DeleteStack")) == 1


@pytest.mark.parametrize(
    ("status", "says", "way_out"),
    [
        ("UPDATE_ROLLBACK_FAILED", "its last rollback failed", "continue-update-rollback --stack-name lab-hello"),
        ("DELETE_FAILED", "could not be deleted", "lab destroy lab-hello"),
        ("UPDATE_IN_PROGRESS", "something else is changing it", "wait"),
        ("ROLLBACK_IN_PROGRESS", "something else is changing it", "wait"),
        ("IMPORT_ROLLBACK_FAILED", "cannot be updated", "lab destroy lab-hello"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_named_with_the_way_out(
    deploy: Callable[..., DeployResult], account: AccountOnPaper, status: str, says: str, way_out: str
) -> None:
    deploy()
    account.stack_happened(status)
    sent = len(account.of("cloudformation.CreateChangeSet"))
    with pytest.raises(DeployError, match=status) as caught:
        deploy(Greeting="moin")
    assert says in caught.value.message
    assert way_out in (caught.value.hint or "")
    assert len(account.of("cloudformation.CreateChangeSet")) == sent


def test_a_stack_left_in_review_by_a_broken_off_deployment_is_created_after_all(
    deploy: Callable[..., DeployResult], account: AccountOnPaper
) -> None:
    """A change set that was never executed leaves an empty stack; CREATE works on it, UPDATE does not."""
    account.stack_happened("REVIEW_IN_PROGRESS")
    assert deploy().action is Action.CREATED
    assert account.of("cloudformation.CreateChangeSet")[0]["ChangeSetType"] == "CREATE"


def test_destroy_removes_what_there_is_and_says_what_holds_the_rest(
    deploy: Callable[..., DeployResult], target: AwsTarget, account: AccountOnPaper
) -> None:
    deploy()
    account.fails_with = 'Resource handler returned message: "is used by another function"'
    with pytest.raises(DeployError, match=r"DELETE_FAILED: resource `HelloFunction`: .*is used by") as caught:
        destroy_stack(target, STACK)
    assert "lab destroy" in (caught.value.hint or "")
    assert account.keys, "its artifacts stay as long as the stack does"
    account.fails_with = None
    removal = destroy_stack(target, STACK)
    assert (removal.resources, removal.artifacts, removal.log_groups) == (3, 1, 0)
    assert account.keys is None, "the bucket went with its last artifact"
    assert not destroy_stack(target, STACK).existed


def test_a_bucket_that_was_written_to_while_its_stack_went_is_emptied_again(
    deploy: Callable[..., DeployResult], target: AwsTarget, account: AccountOnPaper
) -> None:
    """Invocations in work go on writing, and AWS deletes no bucket that holds something."""
    account.bucket = f"{STACK}-store-1"
    deploy()
    account.stored = [["a", "b"], ["late"]]
    full = "The bucket you tried to delete is not empty"

    def once_full(asked: dict[str, Any]) -> Any:
        account.fails_with = full if len(account.of("cloudformation.DeleteStack")) == 1 else None
        return account.cloudformation__DeleteStack(asked)

    account.replies["cloudformation.DeleteStack"] = once_full
    assert destroy_stack(target, STACK).objects == 3
    assert account.status == "DELETE_COMPLETE"


def test_a_stack_with_termination_protection_says_how_to_end_that(
    deploy: Callable[..., DeployResult], target: AwsTarget, account: AccountOnPaper
) -> None:
    deploy()
    account.replies["cloudformation.DeleteStack"] = Refused(
        "ValidationError", f"Stack [{STACK}] cannot be deleted while TerminationProtection is enabled"
    )
    with pytest.raises(DeployError, match="TerminationProtection is enabled") as caught:
        destroy_stack(target, STACK)
    assert "update-termination-protection" in (caught.value.hint or "")


def test_a_missing_permission_is_named(deploy: Callable[..., DeployResult], account: AccountOnPaper) -> None:
    account.replies["cloudformation.CreateChangeSet"] = Refused(
        "AccessDenied",
        f"User: {USER_ARN} is not authorized to perform: cloudformation:CreateChangeSet"
        f" on resource: {account.stack_id}",
        403,
    )
    with pytest.raises(TargetError) as caught:
        deploy()
    assert f"ask for cloudformation:CreateChangeSet on {account.stack_id}" in (caught.value.hint or "")
    assert "docs/aws.md" in (caught.value.hint or "")


def test_a_throttled_request_is_sent_again(
    deploy: Callable[..., DeployResult], account: AccountOnPaper, monkeypatch: Any
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    left = [Refused("Throttling", "Rate exceeded")] * 3
    account.replies["cloudformation.CreateChangeSet"] = lambda asked: (
        left.pop() if left else account.cloudformation__CreateChangeSet(asked)
    )
    assert deploy().action is Action.CREATED
    assert len(account.of("cloudformation.CreateChangeSet")) == 4


@pytest.mark.parametrize(("code", "status"), [("Throttling", 400), ("InternalFailure", 500), ("SlowDown", 503)])
def test_a_service_that_refuses_for_good_is_no_bug_of_lab_s(
    deploy: Callable[..., DeployResult], account: AccountOnPaper, code: str, status: int, monkeypatch: Any
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    account.replies["cloudformation.CreateChangeSet"] = Refused(code, "please reduce your request rate", status)
    with pytest.raises(TargetError, match=f"target `aws`: .*{code}") as caught:
        deploy()
    assert caught.value.hint == "repeat the command later"
    assert len(account.of("cloudformation.CreateChangeSet")) == 8


def test_a_lost_network_is_not_told_as_an_emulator_that_does_not_run(
    deploy: Callable[..., DeployResult], account: AccountOnPaper, monkeypatch: Any
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def nobody(asked: dict[str, Any]) -> Any:
        raise EndpointConnectionError(endpoint_url="https://cloudformation.eu-west-1.amazonaws.com/")

    account.replies["cloudformation.DescribeStackEvents"] = nobody
    with pytest.raises(TargetError, match="target `aws` cannot be reached") as caught:
        deploy()
    assert caught.value.hint == "check the network and the region's name, then deploy again"


def test_a_request_that_nobody_wrote_a_reply_to_fails_and_never_leaves_the_machine(
    target: AwsTarget,
) -> None:
    with pytest.raises(AssertionError, match=r"nobody wrote a reply to lambda\.DeleteFunction"):
        target.client("lambda").delete_function(FunctionName="x")


def test_a_reply_that_the_model_does_not_have_fails(target: AwsTarget, account: AccountOnPaper) -> None:
    account.replies["lambda.GetAccountSettings"] = {"AccountLimit": {"Concurrency": "many"}}
    with pytest.raises(AssertionError, match="Unknown parameter in AccountLimit"):
        target.client("lambda").get_account_settings()


# lab doctor


@pytest.fixture
def findings(on_aws: MakeTarget, account: AccountOnPaper, monkeypatch: Any) -> Callable[[], dict[str, Any]]:
    target = on_aws(account)
    monkeypatch.setattr("serverless_lab.targets.resolve_target", lambda *given, **named: target)

    def look() -> dict[str, Any]:
        return {item.subject: item for item in look_at_aws(load_scenario("monday-spike"), STACK, None, None, {})}

    return look


def test_doctor_asks_iam_and_changes_nothing(findings: Callable[[], dict[str, Any]], account: AccountOnPaper) -> None:
    found = findings()
    assert {name: item.state for name, item in found.items()} == dict.fromkeys(
        ("endpoint", "credentials", "permissions", "concurrency"), GOOD
    )
    assert USER_ARN in found["credentials"].text
    assert "1000, 900 of them unreserved; monday-spike may need" in found["concurrency"].text
    assert set(account.names()) == {
        "sts.GetCallerIdentity",
        "iam.SimulatePrincipalPolicy",
        "lambda.GetAccountSettings",
    }
    asked = [action for item in account.of("iam.SimulatePrincipalPolicy") for action in item["ActionNames"]]
    needed = {action for statement in lab_policy()["Statement"] for action in statement["Action"]}
    assert needed <= set(asked)
    resources = [arn for item in account.of("iam.SimulatePrincipalPolicy") for arn in item["ResourceArns"]]
    assert f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/x" in resources
    assert not any("*" in arn for arn in resources if arn != "*"), "IAM is asked of one stack, not of a pattern"


def test_doctor_names_what_is_missing(findings: Callable[[], dict[str, Any]], account: AccountOnPaper) -> None:
    def without(*actions: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def answer(asked: dict[str, Any]) -> dict[str, Any]:
            said: dict[str, Any] = account.iam__SimulatePrincipalPolicy(asked)  # type: ignore[assignment]
            for result in said["EvaluationResults"]:
                if result["EvalActionName"] in actions:
                    result["EvalDecision"] = "implicitDeny"
            return said

        return answer

    account.replies["iam.SimulatePrincipalPolicy"] = without("s3:DeleteBucket")
    found = findings()["permissions"]
    assert found.state in (BAD, DOUBTFUL)
    assert f"s3:DeleteBucket on arn:aws:s3:::{STACK}" in found.text
    assert "docs/policies" in found.hint
    account.replies["iam.SimulatePrincipalPolicy"] = without("ssm:PutParameter")
    assert findings()["permissions"].state == DOUBTFUL, "only the bundled stack has a parameter"


def test_doctor_tries_reading_calls_where_iam_may_not_be_asked(
    findings: Callable[[], dict[str, Any]], account: AccountOnPaper
) -> None:
    account.replies["iam.SimulatePrincipalPolicy"] = Refused("AccessDenied", "not authorized", 403)
    gone = Refused("ResourceNotFoundException", "not found", 404)
    for name in ("lambda.GetFunctionConfiguration", "dynamodb.DescribeTable", "logs.FilterLogEvents"):
        account.replies[name] = gone
    found = findings()["permissions"]
    assert found.state == DOUBTFUL
    assert "5 reading calls are allowed" in found.text
    account.replies["dynamodb.DescribeTable"] = Refused("AccessDeniedException", "no", 400)
    found = findings()["permissions"]
    assert found.state == BAD
    assert "denied: dynamodb:DescribeTable" in found.text


def test_a_small_quota_is_compared_with_the_scenario(
    findings: Callable[[], dict[str, Any]], account: AccountOnPaper
) -> None:
    """New accounts may have 10."""
    account.replies["lambda.GetAccountSettings"] = {
        "AccountLimit": {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}
    }
    found = findings()["concurrency"]
    assert found.state == DOUBTFUL
    assert "throttled" in found.text
    assert "Service Quotas" in found.hint


@pytest.mark.parametrize(
    ("arn", "asked"),
    [
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/build-7", f"arn:aws:iam::{ACCOUNT}:role/ci"),
        (
            f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Dev_1/ann",
            f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Dev_1",
        ),
    ],
)
def test_iam_is_asked_about_the_role_behind_a_session(
    findings: Callable[[], dict[str, Any]], account: AccountOnPaper, arn: str, asked: str
) -> None:
    account.replies["sts.GetCallerIdentity"] = {"UserId": "X", "Account": ACCOUNT, "Arn": arn}
    account.replies["iam.GetRole"] = lambda given: {
        "Role": {
            "Path": "/aws-reserved/sso.amazonaws.com/",
            "RoleName": given["RoleName"],
            "RoleId": "AROANOBODYSROLE00000",
            "Arn": f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/{given['RoleName']}",
            "CreateDate": datetime(2026, 1, 1, tzinfo=UTC),
        }
    }
    findings()
    assert {item["PolicySourceArn"] for item in account.of("iam.SimulatePrincipalPolicy")} == {asked}


def test_the_root_user_is_warned_of(findings: Callable[[], dict[str, Any]], account: AccountOnPaper) -> None:
    root = f"arn:aws:iam::{ACCOUNT}:root"
    account.replies["sts.GetCallerIdentity"] = {"UserId": ACCOUNT, "Account": ACCOUNT, "Arn": root}
    assert findings()["credentials"].state == DOUBTFUL


def test_expired_credentials_end_the_examination_with_what_to_do(
    findings: Callable[[], dict[str, Any]], account: AccountOnPaper
) -> None:
    account.replies["sts.GetCallerIdentity"] = Refused("ExpiredToken", "The security token is expired", 403)
    found = findings()
    assert found["credentials"].state == BAD
    assert "sign in" in found["credentials"].hint
    assert "permissions" not in found


def test_a_call_that_the_table_lacks_is_refused() -> None:
    request = Request("dynamodb", "DeleteTable", {"TableName": "lab-x"}, "h")
    assert "is not in" in refused(lab_policy(), request, ACCOUNT, REGION)[0]
