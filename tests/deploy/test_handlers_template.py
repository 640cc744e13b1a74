"""The project's own stack on a target that is not ours: six functions, and every mitigation a parameter."""

from __future__ import annotations

import pytest

from serverless_lab.deploy.destroy import destroy_stack
from serverless_lab.deploy.events import stack_resources
from serverless_lab.deploy.inventory import describe_deployment
from serverless_lab.deploy.stack import Action
from serverless_lab.deploy.verify import verify_stack
from serverless_lab.deploy.wrapper import original_handler
from serverless_lab.project import bundled
from tests.deploy.test_stack import NOW

TEMPLATE = bundled("handlers", "template.yaml")


@pytest.fixture
def lambda_client(target):
    return target.client("lambda")


def names(target, stack_name, resource_type) -> dict[str, str]:
    resources = stack_resources(target.client("cloudformation"), stack_name)
    return {
        item["LogicalResourceId"]: item["PhysicalResourceId"]
        for item in resources
        if item["ResourceType"] == resource_type
    }


def rules(target, stack_name) -> set[str]:
    return {
        target.client("events").describe_rule(Name=name)["ScheduleExpression"]
        for name in names(target, stack_name, "AWS::Events::Rule").values()
    }


def provisioned(client, function) -> int | None:
    try:
        found = client.get_provisioned_concurrency_config(FunctionName=function, Qualifier="live")
    except client.exceptions.ProvisionedConcurrencyConfigNotFoundException:
        return None
    return found["RequestedProvisionedConcurrentExecutions"]


def test_six_functions_come_up_and_what_the_emulator_ignores_is_mended(deploy, target, stack_name, lambda_client):
    result = deploy(TEMPLATE)
    notes = verify_stack(target, template_path=TEMPLATE, stack_name=stack_name, parameters=result.parameters)
    deployment = describe_deployment(
        target, stack_name=stack_name, template_path=TEMPLATE, parameters=result.parameters, now=NOW
    )
    assert len(deployment.functions) == 6
    assert {function.alias for function in deployment.functions} == {"live"}
    assert deployment.api_url is not None
    assert deployment.api_url.endswith("/prod")
    tables = names(target, stack_name, "AWS::DynamoDB::Table")
    assert len([note for note in notes if "time to live" in note]) == len(tables) == len(notes)
    for table in tables.values():
        found = target.client("dynamodb").describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        assert found == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expiresAt"}
    mappings = names(target, stack_name, "AWS::Lambda::EventSourceMapping").values()
    assert {lambda_client.get_event_source_mapping(UUID=uuid)["State"] for uuid in mappings} == {"Enabled"}
    again = verify_stack(target, template_path=TEMPLATE, stack_name=stack_name, parameters=result.parameters)
    assert again == (), "what was mended is in order"
    assert destroy_stack(target, stack_name).leftovers == ()


def test_every_parameter_takes_effect_and_goes_away_again(deploy, target, stack_name, lambda_client):
    function = f"{stack_name}-ingest-event"

    def handler() -> str | None:
        return original_handler(lambda_client.get_function_configuration(FunctionName=function, Qualifier="live"))

    result = deploy(TEMPLATE)
    assert handler() == "eager.handler"
    assert rules(target, stack_name) == {"cron(0 1 * * ? *)"}
    assert provisioned(lambda_client, function) is None

    result = deploy(TEMPLATE, InitStyle="lazy", WarmingSchedule="rate(5 minutes)", ProvisionedConcurrency="2")
    assert result.action is Action.UPDATED
    notes = verify_stack(target, template_path=TEMPLATE, stack_name=stack_name, parameters=result.parameters)
    assert handler() == "lazy.handler"
    assert rules(target, stack_name) == {"cron(0 1 * * ? *)", "rate(5 minutes)"}
    assert provisioned(lambda_client, function) == 2
    assert [note for note in notes if "records provisioned concurrency" in note]

    result = deploy(TEMPLATE)
    verify_stack(target, template_path=TEMPLATE, stack_name=stack_name, parameters=result.parameters)
    assert handler() == "eager.handler"
    assert rules(target, stack_name) == {"cron(0 1 * * ? *)"}
    assert provisioned(lambda_client, function) is None
    assert not deploy(TEMPLATE).changed
