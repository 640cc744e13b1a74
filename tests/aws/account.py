"""An AWS account on paper: replies written by hand from botocore's models, for one stack with one function and an API.

Nobody has compared them with AWS's. They say what the models and the documentation say; what AWS adds of its own, in
words and in time, is not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.aws.hooks import Answer, Paper, Refused

ACCOUNT = "111122223333"
BEGAN = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/deployer"
NO_STACK = "Stack with id {0} does not exist"


@dataclass
class AccountOnPaper(Paper):
    """What the account has: a stack in `status` (None: no stack), the artifact bucket's keys (None: no bucket).

    `bucket` is one of the stack's own, and `stored` what is found in it, each time that somebody looks. `log_groups`
    are those there are, with their tags.
    """

    region: str = "eu-west-1"
    status: str | None = None
    keys: list[str] | None = None
    stack_name: str = ""
    fails_with: str | None = None
    bucket: str | None = None
    stored: list[list[str]] = field(default_factory=list)
    looks_until_ready: int = 2
    changes: bool = True
    events: list[dict[str, Any]] = field(default_factory=list)
    parameters: list[dict[str, str]] = field(default_factory=list)
    bucket_tags: list[dict[str, str]] = field(default_factory=list)
    log_groups: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in dir(self):
            service, _, operation = name.partition("__")
            if operation and not name.startswith("_"):
                self.replies.setdefault(f"{service}.{operation}", getattr(self, name))

    @property
    def stack_id(self) -> str:
        return f"arn:aws:cloudformation:{self.region}:{ACCOUNT}:stack/{self.stack_name}/f00d"

    @property
    def function_name(self) -> str:
        return f"{self.stack_name}-HelloFunction-1A2B3C"

    @property
    def _resources(self) -> Iterator[tuple[str, str, str]]:
        yield "HelloFunction", "AWS::Lambda::Function", self.function_name
        yield "ServerlessRestApi", "AWS::ApiGateway::RestApi", "a1b2c3"
        yield "ServerlessRestApiProdStage", "AWS::ApiGateway::Stage", "Prod"
        if self.bucket:
            yield "Store", "AWS::S3::Bucket", self.bucket

    def happened(self, logical_id: str, kind: str, status: str, reason: str | None = None) -> None:
        """Add an event of the stack's."""
        number = len(self.events)
        event = {
            "StackId": self.stack_id,
            "EventId": f"event-{number}",
            "StackName": self.stack_name,
            "LogicalResourceId": logical_id,
            "PhysicalResourceId": self.stack_id if kind.endswith("::Stack") else f"{logical_id}-1",
            "ResourceType": kind,
            "Timestamp": BEGAN + timedelta(seconds=number),
            "ResourceStatus": status,
        }
        self.events.append(event | ({"ResourceStatusReason": reason} if reason else {}))

    def stack_happened(self, status: str, reason: str | None = None) -> None:
        self.status = status
        self.happened(self.stack_name, "AWS::CloudFormation::Stack", status, reason)

    # STS, IAM

    def sts__GetCallerIdentity(self, asked: dict[str, Any]) -> Answer:
        return {"UserId": "AIDNOBODY", "Account": ACCOUNT, "Arn": USER_ARN}

    def iam__SimulatePrincipalPolicy(self, asked: dict[str, Any]) -> Answer:
        results = [
            {"EvalActionName": name, "EvalResourceName": asked["ResourceArns"][0], "EvalDecision": "allowed"}
            for name in asked["ActionNames"]
        ]
        return {"EvaluationResults": results, "IsTruncated": False}

    # S3

    def s3__HeadBucket(self, asked: dict[str, Any]) -> Answer:
        return Refused("404", status=404) if self.keys is None else {"BucketRegion": self.region}

    def s3__CreateBucket(self, asked: dict[str, Any]) -> Answer:
        self.keys = []
        return {"Location": f"http://{asked['Bucket']}.s3.amazonaws.com/"}

    def s3__PutBucketTagging(self, asked: dict[str, Any]) -> Answer:
        self.bucket_tags = asked["Tagging"]["TagSet"]
        return {}

    def s3__GetBucketTagging(self, asked: dict[str, Any]) -> Answer:
        if not self.bucket_tags:
            return Refused("NoSuchTagSet", "The TagSet does not exist", 404)
        return {"TagSet": self.bucket_tags}

    def s3__PutPublicAccessBlock(self, asked: dict[str, Any]) -> Answer:
        return {}

    def s3__HeadObject(self, asked: dict[str, Any]) -> Answer:
        assert self.keys is not None
        return {"ContentLength": 1} if asked["Key"] in self.keys else Refused("404", status=404)

    def s3__PutObject(self, asked: dict[str, Any]) -> Answer:
        assert self.keys is not None
        self.keys.append(asked["Key"])
        return {"ETag": '"e"'}

    def s3__ListObjectVersions(self, asked: dict[str, Any]) -> Answer:
        if asked["Bucket"] == self.bucket:
            stored = self.stored.pop(0) if self.stored else []
            return {"IsTruncated": False, "Versions": [{"Key": key, "VersionId": "1"} for key in stored]}
        found = [key for key in self.keys or [] if key.startswith(asked["Prefix"])]
        return {"IsTruncated": False, "Versions": [{"Key": key, "VersionId": "null"} for key in found]}

    def s3__DeleteObjects(self, asked: dict[str, Any]) -> Answer:
        gone = {item["Key"] for item in asked["Delete"]["Objects"]}
        self.keys = [key for key in self.keys or [] if key not in gone]
        return {}

    def s3__DeleteBucket(self, asked: dict[str, Any]) -> Answer:
        if self.keys:
            return Refused("BucketNotEmpty", "The bucket you tried to delete is not empty", 409)
        self.keys = None
        return {}

    # CloudFormation

    def cloudformation__DescribeStacks(self, asked: dict[str, Any]) -> Answer:
        by_id = asked["StackName"].startswith("arn:")
        if self.status is None or (self.status == "DELETE_COMPLETE" and not by_id):
            return Refused("ValidationError", NO_STACK.format(asked["StackName"]))
        stack = {
            "StackId": self.stack_id,
            "StackName": self.stack_name,
            "CreationTime": BEGAN,
            "StackStatus": self.status,
            "Parameters": self.parameters,
            "Outputs": [{"OutputKey": "HelloFunctionName", "OutputValue": self.function_name}],
        }
        return {"Stacks": [stack]}

    def cloudformation__CreateChangeSet(self, asked: dict[str, Any]) -> Answer:
        self.stack_name = asked["StackName"]
        self.parameters = asked["Parameters"]
        self._kind = asked["ChangeSetType"]
        if self._kind == "CREATE":
            self.stack_happened("REVIEW_IN_PROGRESS", "User Initiated")
        self._looks = 0
        arn = f"arn:aws:cloudformation:{self.region}:{ACCOUNT}:changeSet/{asked['ChangeSetName']}/beef"
        return {"Id": arn, "StackId": self.stack_id}

    def cloudformation__DescribeChangeSet(self, asked: dict[str, Any]) -> Answer:
        self._looks += 1
        common = {"ChangeSetId": asked["ChangeSetName"], "StackId": self.stack_id, "StackName": self.stack_name}
        if self._looks < self.looks_until_ready:
            return common | {"Status": "CREATE_IN_PROGRESS", "ExecutionStatus": "UNAVAILABLE"}
        if not self.changes:
            reason = "The submitted information didn't contain changes. Submit different information."
            return common | {"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": reason}
        changes = [
            {"Type": "Resource", "ResourceChange": {"Action": "Add", "LogicalResourceId": name, "ResourceType": kind}}
            for name, kind, _ in self._resources
        ]
        return common | {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE", "Changes": changes}

    def cloudformation__DeleteChangeSet(self, asked: dict[str, Any]) -> Answer:
        return {}

    def cloudformation__ExecuteChangeSet(self, asked: dict[str, Any]) -> Answer:
        verb = self._kind
        self.stack_happened(f"{verb}_IN_PROGRESS", "User Initiated")
        for name, kind, _ in self._resources:
            self.happened(name, kind, f"{verb}_IN_PROGRESS")
            if self.fails_with:
                self.happened(name, kind, f"{verb}_FAILED", self.fails_with)
                self.happened(
                    "ServerlessRestApi", "AWS::ApiGateway::RestApi", f"{verb}_FAILED", "Resource creation cancelled"
                )
                self.stack_happened("ROLLBACK_COMPLETE" if verb == "CREATE" else "UPDATE_ROLLBACK_COMPLETE")
                return {}
            self.happened(name, kind, f"{verb}_COMPLETE")
        self.stack_happened(f"{verb}_COMPLETE")
        return {}

    def cloudformation__DescribeStackEvents(self, asked: dict[str, Any]) -> Answer:
        newest_first = self.events[::-1]
        if "NextToken" in asked:
            return {"StackEvents": newest_first[2:]}
        page: dict[str, Any] = {"StackEvents": newest_first[:2]}
        return page | ({"NextToken": "more"} if len(newest_first) > 2 else {})

    def cloudformation__DescribeEvents(self, asked: dict[str, Any]) -> Answer:
        return {"OperationEvents": []}

    def cloudformation__ListStackResources(self, asked: dict[str, Any]) -> Answer:
        found = [
            {
                "LogicalResourceId": name,
                "PhysicalResourceId": physical,
                "ResourceType": kind,
                "LastUpdatedTimestamp": BEGAN,
                "ResourceStatus": "CREATE_COMPLETE",
            }
            for name, kind, physical in self._resources
        ]
        return {"StackResourceSummaries": found}

    def cloudformation__GetTemplate(self, asked: dict[str, Any]) -> Answer:
        return {"TemplateBody": '{"Resources": {}}', "StagesAvailable": ["Original", "Processed"]}

    def cloudformation__DeleteStack(self, asked: dict[str, Any]) -> Answer:
        self.stack_happened("DELETE_IN_PROGRESS", "User Initiated")
        if self.fails_with:
            self.happened("HelloFunction", "AWS::Lambda::Function", "DELETE_FAILED", self.fails_with)
            self.stack_happened("DELETE_FAILED", "The following resource(s) failed to delete: [HelloFunction].")
        else:
            self.stack_happened("DELETE_COMPLETE")
        return {}

    # Lambda, API Gateway, Logs

    def lambda__GetFunctionConfiguration(self, asked: dict[str, Any]) -> Answer:
        variables = {item["ParameterKey"].upper(): item["ParameterValue"] for item in self.parameters}
        return {
            "FunctionName": self.function_name,
            "Runtime": "python3.12",
            "Handler": "app.handler",
            "MemorySize": 128,
            "Timeout": 10,
            "Architectures": ["x86_64"],
            "Environment": {"Variables": variables},
        }

    def lambda__GetAccountSettings(self, asked: dict[str, Any]) -> Answer:
        return {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}}

    def apigateway__GetStages(self, asked: dict[str, Any]) -> Answer:
        return {"item": [{"stageName": "Prod"}, {"stageName": "Stage"}]}

    def logs__CreateLogGroup(self, asked: dict[str, Any]) -> Answer:
        if asked["logGroupName"] in self.log_groups:
            return Refused("ResourceAlreadyExistsException", "The specified log group already exists")
        self.log_groups[asked["logGroupName"]] = asked["tags"]
        return {}

    def logs__TagResource(self, asked: dict[str, Any]) -> Answer:
        stem = f"arn:aws:logs:{self.region}:{ACCOUNT}:log-group:"
        assert asked["resourceArn"].startswith(stem)
        self.log_groups[asked["resourceArn"].removeprefix(stem)] |= asked["tags"]
        return {}

    def logs__DeleteLogGroup(self, asked: dict[str, Any]) -> Answer:
        return Refused("ResourceNotFoundException", "The specified log group does not exist.")
