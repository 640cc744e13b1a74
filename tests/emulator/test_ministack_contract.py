"""What our adapter takes for granted of MiniStack. When one fails, read serverless_lab/emulator/ministack.py again."""

import importlib
import importlib.util
import inspect
from importlib import metadata

from ministack import app
from ministack.services import (
    apigateway,
    apigateway_v1,
    cloudwatch_logs,
    dynamodb,
    eventbridge,
    kinesis,
    lambda_svc,
    s3,
    scheduler,
    sns,
    sqs,
)
from ministack.services.cloudformation import provisioners, stacks

from serverless_lab.emulator.ministack_time import SERVICES_WITH_DATES, SERVICES_WITH_THREADS


def parameters(function) -> list[str]:
    return list(inspect.signature(function).parameters)


def source(function) -> str:
    return inspect.getsource(function)


def test_the_version_is_the_one_that_was_read():
    """The seam is not a public interface: a new version is read again before the pin moves."""
    assert metadata.version("ministack") == "1.5.33"


def test_every_invocation_passes_the_dispatcher_we_replace():
    assert parameters(lambda_svc._execute_function_dispatch) == ["func", "config", "event", "request_id", "started"]
    assert "_execute_function_dispatch(func, config, event, request_id, started)" in source(
        lambda_svc._execute_function
    )


def test_the_dispatcher_runs_on_a_thread_of_its_own():
    """So that a handler that calls back into the emulator cannot wait for itself."""
    assert "run_reentrant(_execute_function_with_config_scope" in source(lambda_svc._invoke)
    assert "run_reentrant(lambda_svc._execute_function_with_config_scope" in source(apigateway_v1._call_lambda_raw)


def test_its_own_concurrency_limits_can_be_switched_off():
    assert parameters(lambda_svc._reserved_concurrency) == ["func", "config"]
    assert "_ACCOUNT_CONCURRENCY_CAP > 0" in source(lambda_svc._acquire_execution_slot)


def test_updates_and_deletions_are_told_through_invalidate_worker():
    assert "invalidate_worker(name" in source(lambda_svc._delete_function)
    assert "invalidate_worker(name" in source(lambda_svc._update_code)


def test_a_raw_payload_is_passed_on_as_bytes():
    assert "if isinstance(payload, bytes):\n        return 200, resp_headers, payload" in source(lambda_svc._invoke)


def test_api_gateway_asks_the_two_functions_we_replace():
    assert parameters(apigateway_v1._lambda_proxy_response) == ["result"]
    assert "_lambda_proxy_response(result)" in source(apigateway_v1._invoke_lambda_proxy_v1)
    assert "invoke = _invoke_lambda_proxy_v1" in source(apigateway_v1)
    assert parameters(apigateway_v1._invoke_lambda_proxy_v1)[0] == "integration"


def test_an_openapi_operation_is_imported_by_the_function_we_wrap():
    assert parameters(apigateway_v1._import_operation)[:4] == ["api_id", "resource_id", "http_method", "operation"]
    assert "_import_operation(api_id, resource_id, method.upper(), operation" in source(apigateway_v1)


def test_dates_pollers_and_schedules_are_where_virtual_time_replaces_them():
    """See serverless_lab/emulator/ministack_time.py."""
    for name in (*SERVICES_WITH_DATES, *SERVICES_WITH_THREADS):
        assert hasattr(importlib.import_module(f"ministack.services.{name}"), "time"), name
    assert "esm_wake.set()" in source(sqs) and "esm_wake.set()" in source(dynamodb)
    assert "_ensure_poller()" in source(lambda_svc)
    assert parameters(lambda_svc._poll_kinesis) == []
    assert "_kinesis_positions[esm_id]" in source(lambda_svc._poll_kinesis) and hasattr(kinesis, "_streams")
    assert parameters(eventbridge._tick_scheduled_rules) == parameters(scheduler._tick_schedules) == []


def test_log_groups_are_dictionaries_of_streams_and_events_are_appended_by_one_function():
    assert parameters(cloudwatch_logs._append_log_events) == ["stream", "events"]
    assert parameters(cloudwatch_logs._fanout_to_subscription_filters)[:3] == ["group_name", "stream_name", "events"]
    assert parameters(cloudwatch_logs._fanout_to_live_tail_sessions)[:3] == ["group_name", "stream_name", "events"]


def test_layers_are_resolved_to_zips():
    assert parameters(lambda_svc._resolve_layer_zip) == ["attachment"]


def test_the_asgi_app_is_a_function():
    assert parameters(app.app) == ["scope", "receive", "send"]


def test_every_request_for_logs_passes_the_handler_we_wrap_and_log_groups_are_what_we_read():
    """See serverless_lab/emulator/ministack_logs.py."""
    expected = ["method", "path", "headers", "body", "query_params"]
    assert parameters(cloudwatch_logs.handle_request) == expected
    assert "await mod.handle_request(method, path, headers, body, query_params)" in source(app._lazy_handler)
    assert '"timestamp"' in source(cloudwatch_logs._put_log_events)
    assert '"ingestionTime"' in source(cloudwatch_logs._put_log_events)
    assert '"creationTime": int(time.time() * 1000)' in source(cloudwatch_logs._create_log_group)


def test_provisioned_concurrency_is_served_by_functions_we_replace():
    """See serverless_lab/emulator/ministack_versions.py. Listing asks the first of them without a qualifier."""
    router = source(lambda_svc.handle_request)
    assert "return _get_provisioned_concurrency(fname, qualifier)" in router
    assert "return _put_provisioned_concurrency(fname, qualifier, data)" in router
    assert "return _delete_provisioned_concurrency(fname, qualifier)" in router
    assert parameters(lambda_svc._put_function_concurrency) == ["func_name", "data"]
    assert '_functions[func_name]["concurrency"] = value' in source(lambda_svc._put_function_concurrency)
    assert parameters(lambda_svc._get_account_settings) == []


def test_aliases_are_changed_by_functions_we_wrap_and_resolved_in_one_place():
    assert parameters(lambda_svc._create_alias) == ["func_name", "data"]
    assert parameters(lambda_svc._update_alias) == ["func_name", "alias_name", "data"]
    assert parameters(lambda_svc._delete_alias) == ["func_name", "alias_name"]
    assert parameters(lambda_svc._effective_func_record_for_qualifier) == ["func", "qualifier"]
    assert "_effective_func_record_for_qualifier(func, qualifier)" in source(lambda_svc._get_func_record_for_ref)
    assert 'func["versions"][str(ver_num)] = ver_record' in source(lambda_svc._publish_version)


def test_an_invocation_keeps_the_alias_it_came_by_in_its_arn():
    expected = '_func_arn(name) + (f":{qualifier}" if qualifier else "")'
    assert f'exec_record["config"]["FunctionArn"] = {expected}' in source(lambda_svc._invoke)


def test_stacks_make_aliases_and_versions_by_handlers_we_wrap():
    handlers = provisioners._RESOURCE_HANDLERS
    for kind in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
        assert parameters(handlers[kind]["create"]) == ["logical_id", "props", "stack_name"]
        assert parameters(handlers[kind]["update"])[:4] == ["physical_id", "old_props", "new_props", "stack_name"]
        assert parameters(handlers[kind]["delete"]) == ["physical_id", "props"]
    assert "_lambda_svc._put_provisioned_concurrency(" in source(provisioners._lambda_alias_provisioned_concurrency)
    assert "_lambda_svc._update_alias(" in source(provisioners._lambda_alias_update)
    assert parameters(stacks._runs_on_worker_thread) == ["resource_type"]
    assert "if _runs_on_worker_thread(resource_type)" in source(stacks._deploy_stack_async)


def test_there_is_no_application_auto_scaling():
    """When there is, scheduled changes of provisioned concurrency can be served: see tests/fidelity/left_out.py."""
    assert importlib.util.find_spec("ministack.services.application_autoscaling") is None
    assert "application-autoscaling" not in source(app)


def test_asynchronous_invocations_come_through_the_functions_we_replace():
    """See serverless_lab/emulator/ministack_async.py."""
    assert parameters(lambda_svc.invoke_async_with_retry) == ["func", "event"]
    assert "invoke_async_with_retry(exec_record, event)\n" in source(lambda_svc._invoke)
    assert "_lambda.invoke_async_with_retry(" in source(s3._deliver_event_to_lambda)
    assert "_lambda_svc._execute_function_with_config_scope(exec_record, event)" in source(sns._deliver_to_lambda)
    assert parameters(eventbridge._dispatch_to_lambda) == ["arn", "payload"]
    assert parameters(lambda_svc._execute_function) == ["func", "event"]


def test_event_invoke_configs_are_put_and_found_by_qualifier():
    assert parameters(lambda_svc._put_event_invoke_config) == ["func_name", "qualifier", "data"]
    assert parameters(lambda_svc._event_invoke_config) == ["func", "qualifier"]
    assert parameters(lambda_svc.handle_request) == ["method", "path", "headers", "body", "query_params"]
    assert parameters(lambda_svc._get_func_record_for_ref) == ["function_ref"]
    assert parameters(lambda_svc._get_base_func_record_for_ref) == ["function_ref"]
    assert parameters(lambda_svc._execution_record_for_config) == ["func", "config"]


def test_destinations_are_reached_through_their_services_own_functions():
    """See serverless_lab/emulator/ministack_destinations.py."""
    assert parameters(sqs._act_send_message) == ["data", "qurl"] and issubclass(sqs._Err, Exception)
    assert parameters(sqs._queue_by_arn) == ["arn"] and parameters(sqs._queue_url) == ["name"]
    assert parameters(sns.publish_internal)[:2] == ["topic_arn", "message"]
    assert "message_attributes" in parameters(sns.publish_internal) and issubclass(sns.SnsPublishError, Exception)
    assert parameters(eventbridge._put_events)[0] == "data"
    assert parameters(s3._put_object) == ["bucket_name", "key", "body", "headers"]


def test_event_sources_are_read_and_mappings_kept_where_we_do_it():
    """See serverless_lab/emulator/ministack_sources.py."""
    assert parameters(lambda_svc._poll_sqs) == parameters(lambda_svc._poll_dynamodb_streams) == []
    assert "_poll_sqs() or processed" in source(lambda_svc._poll_loop)
    assert parameters(lambda_svc._create_esm) == ["data"]
    assert parameters(lambda_svc._update_esm) == ["esm_id", "data"]
    assert parameters(lambda_svc._iter_all_esms) == []
    assert parameters(lambda_svc._apply_filter_criteria) == ["records", "esm"]
    assert parameters(lambda_svc._get_func_record_for_qualifier) == ["name", "qualifier"]
    assert parameters(sqs._receive_messages_for_esm) == ["queue_url", "max_number"]
    assert parameters(sqs._delete_messages_for_esm) == ["queue_url", "receipt_handles"]
    assert parameters(dynamodb.stream_records_since)[:3] == ["table_name", "position", "limit"]
    assert parameters(dynamodb.stream_start_position)[0] == "table_name"
    assert "_dynamodb_stream_positions[esm_id]" in source(lambda_svc._init_stream_position)
    assert hasattr(app, "_MAIN_LOOP") and "_MAIN_LOOP = asyncio.get_running_loop()" in source(app)


def test_functions_are_created_and_updated_by_what_we_wrap():
    """See serverless_lab/emulator/ministack_functions.py."""
    assert parameters(lambda_svc._create_function) == ["data"]
    assert parameters(lambda_svc._update_config) == ["name", "data"]
    assert "return _create_function(data)" in source(lambda_svc.handle_request)
    assert "return _update_config(func_name, data)" in source(lambda_svc.handle_request)
    create = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]["create"]
    assert parameters(create) == ["logical_id", "props", "stack_name"]
    delete = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]["delete"]
    assert parameters(delete) == ["physical_id", "props"]
    assert "invalidate_worker" not in source(provisioners._lambda_delete), "else it tells by itself"


def test_http_apis_are_made_by_what_we_wrap_and_filled_by_what_we_call():
    """See serverless_lab/emulator/ministack_http_apis.py."""
    handler = provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"]
    assert parameters(handler["create"]) == ["logical_id", "props", "stack_name"]
    assert parameters(handler["update"]) == ["physical_id", "old_props", "new_props", "stack_name", "logical_id"]
    assert '"Body"' not in source(provisioners._apigw_v2_api_create), "else it imports by itself"
    for kind in ("route", "integration", "authorizer"):
        assert parameters(getattr(apigateway, f"_create_{kind}")) == ["api_id", "data"]
        assert parameters(getattr(apigateway, f"_delete_{kind}"))[0] == "api_id"


def test_function_urls_are_made_and_answered_by_what_we_wrap():
    assert parameters(lambda_svc._create_function_url_config) == ["func_name", "data", "qualifier"]
    assert "return _create_function_url_config(" in source(lambda_svc.handle_request)
    assert "_lambda_svc._create_function_url_config(" in source(provisioners._lambda_url_create)
    assert "lambda_execute_result_to_api_proxy_response(result)" in source(lambda_svc.handle_function_url_request)
    assert '_get_module("lambda_svc").handle_function_url_request(' in source(app._handle_lambda_url_request)
