"""The log groups of functions on AWS. Lambda makes one when a function first runs, and gives it no tag."""

from __future__ import annotations

from collections.abc import Iterable

from serverless_lab.deploy.artifacts import TAGS
from serverless_lab.project import DeployedFunction
from serverless_lab.targets.base import Target
from serverless_lab.targets.clients import DENIED_CODES, error_code


def tag_log_groups(target: Target, functions: Iterable[DeployedFunction]) -> tuple[str, ...]:
    """Make the groups that Lambda would make, with lab's tag, and tag those that are there; a note when that is denied.

    A group of another name is the user's or the stack's own, and an emulator bills nobody.
    """
    from botocore.exceptions import ClientError

    if target.endpoint_url is not None:
        return ()
    logs = target.client("logs")
    tags = {tag["Key"]: tag["Value"] for tag in TAGS}
    partition = target.session().get_partition_for_region(target.region)
    for function in functions:
        name = f"/aws/lambda/{function.name}"
        if function.log_group != name:
            continue
        try:
            try:
                logs.create_log_group(logGroupName=name, tags=tags)
            except logs.exceptions.ResourceAlreadyExistsException:
                arn = f"arn:{partition}:logs:{target.region}:{target.account_id()}:log-group:{name}"
                logs.tag_resource(resourceArn=arn, tags=tags)
        except ClientError as error:
            if error_code(error) not in DENIED_CODES:
                raise
            return (f"the functions' log groups get no tag: {error}",)
    return ()
