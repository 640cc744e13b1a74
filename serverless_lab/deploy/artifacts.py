"""The artifact bucket: one per account and region, created when it is missing, with a folder for each stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serverless_lab.deploy.packaging import Package
from serverless_lab.deploy.template import Location
from serverless_lab.errors import TargetError
from serverless_lab.targets.base import Target
from serverless_lab.targets.clients import error_code

BUCKET_NAME = "lab-artifacts-{account}-{region}"
TAGS = [{"Key": "created-by", "Value": "serverless-lab"}]
"""On everything that lab makes; CloudFormation gives a stack's tags to its resources."""

DELETE_BATCH = 1_000  # documented: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
MISSING = frozenset({"404", "NoSuchBucket", "NotFound", "NoSuchKey"})


class ArtifactBucket:
    """Where packages wait for CloudFormation. Every request names the owner, as a bucket's name can be guessed."""

    def __init__(self, target: Target, account_id: str) -> None:
        self.name = BUCKET_NAME.format(account=account_id, region=target.region)
        self._target = target
        self._s3 = target.client("s3")
        self._owner = {"ExpectedBucketOwner": account_id}

    def exists(self) -> bool:
        """Whether it is there and this account's.

        Raises:
            TargetError: it belongs to somebody else.
        """
        from botocore.exceptions import ClientError

        try:
            self._s3.head_bucket(Bucket=self.name, **self._owner)
        except ClientError as error:
            if error_code(error) in MISSING:
                return False
            if error_code(error) in ("403", "AccessDenied", "Forbidden"):
                raise TargetError(
                    f"bucket {self.name} is not yours, or you may not use it",
                    hint="docs/aws.md lists what lab needs there",
                ) from error
            raise
        return True

    def ensure(self) -> None:
        """Make it where it is missing, private and tagged; a deployment may have been broken off in between."""
        from botocore.exceptions import ClientError

        tags = []
        if self.exists():
            found = self._tags()
            if found is None or TAGS[0] in found:
                return
            tags = [tag for tag in found if tag["Key"] != TAGS[0]["Key"]]  # somebody else's stay
        else:
            # us-east-1 is the one region that must not be named.
            # documented: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
            region = self._target.region
            place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            try:
                self._s3.create_bucket(Bucket=self.name, **place)
            except ClientError as error:
                if error_code(error) != "BucketAlreadyOwnedByYou":
                    raise
        blocked = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        self._s3.put_public_access_block(
            Bucket=self.name, PublicAccessBlockConfiguration=dict.fromkeys(blocked, True), **self._owner
        )
        # The last, so that a bucket with the tag has all of it.
        self._s3.put_bucket_tagging(Bucket=self.name, Tagging={"TagSet": [*tags, *TAGS]}, **self._owner)

    def _tags(self) -> list[dict[str, str]] | None:
        """The bucket's tags; None where nobody may see them, and so nothing is to be added to them."""
        from botocore.exceptions import ClientError

        try:
            found: list[dict[str, str]] = self._s3.get_bucket_tagging(Bucket=self.name, **self._owner)["TagSet"]
        except ClientError as error:
            return [] if error_code(error) == "NoSuchTagSet" else None
        return found

    def upload(self, package: Package, stack_name: str) -> Location:
        """Put `package` into the stack's folder, unless it is there: its name is its content's digest."""
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import ClientError

        key = f"{stack_name}/{package.key_name}"
        if not self._has(key):
            try:
                self._s3.upload_file(str(package.path), self.name, key, ExtraArgs=self._owner)
            except (S3UploadFailedError, ClientError):
                # Another project on the same target may have removed the bucket, empty, a moment ago.
                self.ensure()
                self._s3.upload_file(str(package.path), self.name, key, ExtraArgs=self._owner)
        return Location(self.name, key, package.digest)

    def upload_text(self, text: str, stack_name: str, name: str) -> str:
        """Put `text` into the stack's folder; its URL as CloudFormation's TemplateURL wants it."""
        key = f"{stack_name}/{name}"
        self._s3.put_object(Bucket=self.name, Key=key, Body=text.encode(), **self._owner)
        return f"{self._s3.meta.endpoint_url}/{self.name}/{key}"

    def remove_stack(self, stack_name: str) -> int:
        """Remove what this stack uploaded, and the bucket when nothing is left in it; the number of objects removed."""
        if not self.exists():
            return 0
        removed = empty_bucket(self._s3, self.name, prefix=f"{stack_name}/", owner=self._owner)
        from botocore.exceptions import ClientError

        try:
            self._s3.delete_bucket(Bucket=self.name, **self._owner)
        except ClientError as error:
            if error_code(error) not in MISSING | {"BucketNotEmpty"}:
                raise
        return removed

    def _has(self, key: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._s3.head_object(Bucket=self.name, Key=key, **self._owner)
        except ClientError as error:
            if error_code(error) in MISSING:
                return False
            raise
        return True


def empty_bucket(s3: Any, bucket: str, prefix: str = "", owner: Mapping[str, str] | None = None) -> int:
    """Remove every object below `prefix`, with all its versions and delete markers; how many there were.

    Args:
        owner: `ExpectedBucketOwner` of a bucket whose name others could guess.
    """
    where = {"Bucket": bucket, **(owner or {})}
    removed = 0
    batch: list[dict[str, str]] = []
    for entry in _versions(s3, where, prefix):
        batch.append(entry)
        if len(batch) == DELETE_BATCH:
            removed += _delete(s3, where, batch)
            batch = []
    return removed + _delete(s3, where, batch)


def _versions(s3: Any, where: Mapping[str, str], prefix: str) -> Iterator[dict[str, str]]:
    for page in s3.get_paginator("list_object_versions").paginate(**where, Prefix=prefix):
        for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            yield {"Key": entry["Key"], "VersionId": entry["VersionId"]}


def _delete(s3: Any, where: Mapping[str, str], batch: list[dict[str, str]]) -> int:
    if not batch:
        return 0
    answer = s3.delete_objects(**where, Delete={"Objects": batch, "Quiet": True})
    errors = answer.get("Errors", [])
    if errors:
        first = errors[0]
        why = first.get("Message") or first.get("Code")
        raise TargetError(
            f"{first.get('Key')} in bucket {where['Bucket']} cannot be removed: {why}",
            hint="an object lock or a policy may hold it; remove it yourself, then repeat",
        )
    return len(batch)
