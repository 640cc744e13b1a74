"""Versions, aliases and their concurrency in MiniStack's records.

MiniStack keeps versions, aliases, reserved and provisioned concurrency in each function's record, and does nothing
about them. What is replaced here:

* `lambda_svc._get/_put/_delete_provisioned_concurrency`: served from the plane, refused as AWS refuses;
* `lambda_svc._put_function_concurrency`, `_get_account_settings`: limits of the account;
* `lambda_svc._create_alias`, `_update_alias`, `_delete_alias`: routing is checked, provisioned concurrency moves along;
* `lambda_svc._effective_func_record_for_qualifier`: an invocation keeps the alias it came by, for routing;
* CloudFormation's handlers of `AWS::Lambda::Alias` and `AWS::Lambda::Version`: they wait for provisioned concurrency,
  and an alias moves to a new version when that has its environments.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from serverless_lab.emulator.allocation import AllocationCounts, AllocationStatus
from serverless_lab.emulator.concurrency import Claims
from serverless_lab.emulator.environments import ExecutionEnvironment, FunctionSettings
from serverless_lab.emulator.ministack_time import carried_actor
from serverless_lab.emulator.model import FunctionVersion
from serverless_lab.emulator.plane import LambdaPlane
from serverless_lab.emulator.provisioned import (
    NEITHER_ALIAS_NOR_VERSION,
    NOT_CONFIGURED,
    Qualified,
    Refusal,
    described,
    refused_provisioned,
    refused_reserved,
    refused_routing,
    routed,
)
from serverless_lab.errors import LabError

Response: TypeAlias = tuple[int, dict[str, Any], bytes]
Scoped: TypeAlias = tuple[str, str, str, str]
"""Account, Region, function name, qualifier."""

REQUESTED = "RequestedProvisionedConcurrentExecutions"
CFN_TYPES = ("AWS::Lambda::Alias", "AWS::Lambda::Version")


@dataclass
class Versions:
    """Args:
    plane: keeps the environments.
    account_concurrency: the account's limit.
    seed: of the choice between the two versions of an alias with weights.
    describe: a function's record and configuration in our words.
    make: an environment of provisioned concurrency.
    """

    plane: LambdaPlane
    account_concurrency: int
    seed: int
    describe: Callable[[dict[str, Any], dict[str, Any]], tuple[FunctionVersion, FunctionSettings]]
    make: Callable[[str, FunctionSettings], ExecutionEnvironment]
    _told: dict[Scoped, tuple[FunctionVersion, int]] = field(default_factory=dict)
    _draws: dict[Scoped, random.Random] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def install(self) -> None:
        from ministack.services import lambda_svc
        from ministack.services.cloudformation import provisioners, stacks

        lambda_svc._get_provisioned_concurrency = self.get
        lambda_svc._put_provisioned_concurrency = self.put
        lambda_svc._delete_provisioned_concurrency = self.delete
        lambda_svc._put_function_concurrency = self._reserving(lambda_svc._put_function_concurrency)
        lambda_svc._get_account_settings = self._account_settings(lambda_svc._get_account_settings)
        lambda_svc._create_alias = self._routing_checked(lambda_svc._create_alias, is_new=True)
        lambda_svc._update_alias = self._routing_checked(lambda_svc._update_alias, is_new=False)
        lambda_svc._delete_alias = self._followed(lambda_svc._delete_alias)
        lambda_svc._effective_func_record_for_qualifier = keeping_alias(lambda_svc._effective_func_record_for_qualifier)
        handlers = provisioners._RESOURCE_HANDLERS
        handlers["AWS::Lambda::Alias"] |= {
            "create": self._alias_created(handlers["AWS::Lambda::Alias"]["create"]),
            "update": self._alias_updated(handlers["AWS::Lambda::Alias"]["update"]),
            "delete": self._followed(handlers["AWS::Lambda::Alias"]["delete"]),
        }
        handlers["AWS::Lambda::Version"] |= {
            "create": self._version_created(handlers["AWS::Lambda::Version"]["create"]),
            "update": self._version_updated(handlers["AWS::Lambda::Version"]["update"]),
            "delete": self._followed(handlers["AWS::Lambda::Version"]["delete"]),
        }
        blocks = stacks._runs_on_worker_thread
        stacks._runs_on_worker_thread = lambda kind: kind in CFN_TYPES or blocks(kind)

    # Which version serves ----------------------------------------------------------------------------------------

    def serving(self, func: dict[str, Any], config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The record and configuration of the version that serves an invocation, which may be the alias's second.

        `config` names the alias in its FunctionArn. The same seed gives the same sequence of versions for each alias.
        """
        from ministack.core.responses import get_account_id, get_region
        from ministack.services import lambda_svc

        name, arn = config.get("FunctionName", ""), str(config.get("FunctionArn", ""))
        base = lambda_svc._functions.get(name)
        alias = ((base or {}).get("aliases") or {}).get(arn.rpartition(":")[2])
        weights = weights_of(alias)
        if base is None or alias is None or not weights:
            return func, config
        scope = (get_account_id(), get_region(), name, alias["Name"])
        draws = self._draws.setdefault(scope, random.Random(f"{self.seed}/{'/'.join(scope)}"))
        version = routed(alias.get("FunctionVersion", "$LATEST"), weights, draws.random())
        record = (base.get("versions") or {}).get(version)
        if record is None:
            return func, config
        return record, {**record["config"], "FunctionArn": arn}

    # The API of provisioned concurrency ----------------------------------------------------------------------------

    def get(self, name: str, qualifier: str | None) -> Response:
        """GetProvisionedConcurrencyConfig, and without a qualifier ListProvisionedConcurrencyConfigs."""
        if not qualifier:
            return self._list(name)
        refusal = self._missing(name, qualifier)
        if refusal is not None:
            return _refused(refusal)
        body = self._described(name, qualifier)
        return _refused(NOT_CONFIGURED) if body is None else _answer(body)

    def put(self, name: str, qualifier: str | None, data: dict[str, Any]) -> Response:
        from ministack.services import lambda_svc

        asked = self._qualified(name, qualifier or "$LATEST")
        count = int(data.get("ProvisionedConcurrentExecutions", 0))
        func = lambda_svc._functions.get(name) or {}
        versions = {
            other: version for other in self._configured(func) if (version := version_behind(func, other)) is not None
        }
        refusal = refused_provisioned(asked, name, count, self._claims(), versions) or self._refused_code(func, asked)
        if refusal is not None:
            return _refused(refusal)
        self._configured(func)[asked.qualifier] = {REQUESTED: count, "LastModified": _now()}
        self._told.pop(_scoped(name, asked.qualifier), None)  # what failed is tried again
        self.follow()
        return _answer(self._described(name, asked.qualifier) or {}, 202)

    def delete(self, name: str, qualifier: str | None) -> Response:
        from ministack.services import lambda_svc

        qualifier = qualifier or "$LATEST"
        refusal = self._missing(name, qualifier)
        if refusal is not None:
            return _refused(refusal)
        self._configured(lambda_svc._functions[name]).pop(qualifier, None)
        self.follow()
        return 204, {}, b""

    def follow(self) -> None:
        """Tell the plane what MiniStack's records ask for now, where that differs from what it was told."""
        with self._lock:
            self._follow()

    def _follow(self) -> None:
        from ministack.services import lambda_svc

        wanted: dict[Scoped, tuple[FunctionVersion, FunctionSettings, int]] = {}
        for name in list(lambda_svc._functions):
            func = lambda_svc._functions.get(name) or {}
            configured = self._configured(func)
            for qualifier in list(configured):
                record = record_behind(func, qualifier)
                if record is None:
                    configured.pop(qualifier, None)  # the alias or version is gone
                    continue
                try:
                    version, settings = self.describe(record, record["config"])
                except LabError:  # it cannot run here, which an invocation says too
                    continue
                wanted[_scoped(name, qualifier)] = version, settings, int(configured[qualifier][REQUESTED])
        for key in [key for key in self._told if key[:2] == _scoped("", "")[:2] and key not in wanted]:
            version, _ = self._told.pop(key)
            self.plane.provision(key[3], version, 0)
        for key, (version, settings, count) in wanted.items():
            self._provision(key, version, settings, count)

    def _provision(self, key: Scoped, version: FunctionVersion, settings: FunctionSettings, count: int) -> None:
        with self._lock:
            if self._told.get(key) == (version, count):
                return
            self._told[key] = version, count
            context = contextvars.copy_context()
            context.run(carried_actor.set, None)  # whoever asks does not carry the inits
            context.run(
                self.plane.provision, key[3], version, count, lambda environment_id: self.make(environment_id, settings)
            )

    def _list(self, name: str) -> Response:
        from ministack.services import lambda_svc

        func = lambda_svc._functions.get(name)
        if func is None:
            arn = lambda_svc._func_arn(name)
            return _refused(Refusal("ResourceNotFoundException", f"Function not found: {arn}", 404))
        found = [
            {"FunctionArn": f"{lambda_svc._func_arn(name)}:{qualifier}", **body}
            for qualifier in self._configured(func)
            if (body := self._described(name, qualifier)) is not None
        ]
        return _answer({"ProvisionedConcurrencyConfigs": found})

    def _refused_code(self, func: dict[str, Any], asked: Qualified) -> Refusal | None:
        record = record_behind(func, asked.qualifier)
        try:
            if record is not None:
                self.describe(record, record["config"])
        except LabError as problem:  # no such runtime on this host, or a bad zip
            return Refusal("InvalidParameterValueException", problem.message)
        return None

    def _described(self, name: str, qualifier: str) -> dict[str, Any] | None:
        from ministack.services import lambda_svc

        configured = self._configured(lambda_svc._functions.get(name) or {}).get(qualifier)
        counts = self.plane.provisioned(name, qualifier)
        return None if configured is None or counts is None else described(counts, configured["LastModified"])

    def _missing(self, name: str, qualifier: str) -> Refusal | None:
        if qualifier == "$LATEST":
            return NEITHER_ALIAS_NOR_VERSION
        return self._qualified(name, qualifier).missing()

    def _qualified(self, name: str, qualifier: str) -> Qualified:
        from ministack.services import lambda_svc

        func = lambda_svc._functions.get(name) or {}
        alias = (func.get("aliases") or {}).get(qualifier)
        return Qualified(
            lambda_svc._func_arn(name),
            qualifier,
            version_behind(func, qualifier),
            is_alias=alias is not None,
            has_routing=bool(weights_of(alias)),
        )

    @staticmethod
    def _configured(func: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = func.setdefault("provisioned_concurrency", {})
        return found

    # Limits of the account -----------------------------------------------------------------------------------------

    def _claims(self) -> Claims:
        from ministack.services import lambda_svc

        functions = {name: lambda_svc._functions.get(name) or {} for name in list(lambda_svc._functions)}
        return Claims(
            self.account_concurrency,
            {name: reserved for name, func in functions.items() if (reserved := reserved_of(func)) is not None},
            {
                name: {qualifier: int(found[REQUESTED]) for qualifier, found in self._configured(func).items()}
                for name, func in functions.items()
            },
        )

    def _reserving(self, put: Callable[..., Response]) -> Callable[..., Response]:
        def put_if_there_is_enough(name: str, data: dict[str, Any]) -> Response:
            count = int(data.get("ReservedConcurrentExecutions", 0))
            refusal = refused_reserved(name, count, self._claims())
            return put(name, data) if refusal is None else _refused(refusal)

        return put_if_there_is_enough

    def _account_settings(self, get: Callable[[], Response]) -> Callable[[], Response]:
        def get_with_limits() -> Response:
            status, headers, body = get()
            found = json.loads(body)
            found["AccountLimit"] |= {
                "ConcurrentExecutions": self.account_concurrency,
                "UnreservedConcurrentExecutions": self._claims().unreserved(),
            }
            return status, headers, json.dumps(found).encode()

        return get_with_limits

    # Aliases -------------------------------------------------------------------------------------------------------

    def _routing_checked(self, change: Callable[..., Response], *, is_new: bool) -> Callable[..., Response]:
        @functools.wraps(change)
        def checked(*args: Any) -> Response:
            from ministack.services import lambda_svc

            name, data = args[0], args[-1]
            func = lambda_svc._functions.get(name)
            present = {} if is_new or func is None else func["aliases"].get(args[1]) or {}
            weights = (data.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
            version = data.get("FunctionVersion") or present.get("FunctionVersion", "$LATEST")
            if func is not None:
                arn = lambda_svc._func_arn(name)
                refusal = refused_routing(arn, version, weights, set(func.get("versions") or {}))
                if refusal is not None:
                    return _refused(refusal)
            answer = change(*args)
            self.follow()
            return answer

        return checked

    def _followed(self, change: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(change)
        def followed(*args: Any, **kwargs: Any) -> Any:
            try:
                return change(*args, **kwargs)
            finally:
                self.follow()

        return followed

    # CloudFormation ------------------------------------------------------------------------------------------------
    # recorded: it waits until provisioned environments are ready (LocalStack's tests/aws/services/cloudformation/
    # resources/test_lambda.py, on AWS). Until then it keeps traffic on an alias's old version: users report that an
    # init that failed left it there.

    def _alias_created(self, create: Callable[..., Any]) -> Callable[..., Any]:
        def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
            answer = create(logical_id, props, stack_name)
            if props.get("ProvisionedConcurrencyConfig"):
                self._wait(_function_name(props), props["Name"])
            return answer

        return created

    def _alias_updated(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def updated(
            physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, logical_id: str | None = None
        ) -> Any:
            from ministack.services import lambda_svc

            config, name, alias = new.get("ProvisionedConcurrencyConfig"), _function_name(new), str(new.get("Name", ""))
            func = lambda_svc._functions.get(name) or {}
            record = (func.get("versions") or {}).get(str(new.get("FunctionVersion")))
            if config and record is not None and alias in self._configured(func) and alias in func.get("aliases", {}):
                configured, before = self._configured(func), self._configured(func)[alias]
                count = int(config.get("ProvisionedConcurrentExecutions", 0))
                if count > 0:
                    configured[alias] = {**before, REQUESTED: count}
                    self._provision(_scoped(name, alias), *self.describe(record, record["config"]), count)
                    try:
                        self._wait(name, alias)
                    except ValueError:
                        configured[alias] = before
                        self.follow()  # the alias stays where it was, with what it had
                        raise
            answer = update(physical_id, old, new, stack_name, logical_id)
            if config:
                self._wait(name, alias)
            return answer

        return updated

    def _version_created(self, create: Callable[..., Any]) -> Callable[..., Any]:
        def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
            answer = create(logical_id, props, stack_name)
            self._configure_version(props, answer)
            return answer

        return created

    def _version_updated(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def updated(
            physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, logical_id: str | None = None
        ) -> Any:
            provisioned = "ProvisionedConcurrencyConfig"
            if {**old, provisioned: None} == {**new, provisioned: None}:
                answer = physical_id, {"Version": physical_id.rpartition(":")[2]}
            else:
                answer = update(physical_id, old, new, stack_name, logical_id)
            self._configure_version(new, answer)
            return answer

        return updated

    def _configure_version(self, props: dict[str, Any], answer: Any) -> None:
        from ministack.services import lambda_svc

        name, version = _function_name(props), str(answer[1]["Version"])
        config = props.get("ProvisionedConcurrencyConfig")
        if config:
            count = int(config.get("ProvisionedConcurrentExecutions", 0))
            status, _, body = self.put(name, version, {"ProvisionedConcurrentExecutions": count})
            if status >= 400:
                raise ValueError(json.loads(body)["message"])
            self._wait(name, version)
        elif version in self._configured(lambda_svc._functions.get(name) or {}):
            self.delete(name, version)

    def _wait(self, name: str, qualifier: str) -> None:
        """Until its environments have initialised. Raises ValueError, a resource's failure, when they do not."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            counts: AllocationCounts | None = self.plane.wait_until_provisioned(name, qualifier)
        else:
            return  # the event loop must not wait: a roll-back goes on while they initialise
        if counts is not None and counts.status is AllocationStatus.FAILED:
            raise ValueError(f"Provisioned Concurrency configuration failed to be applied. Reason: {counts.reason}")


def keeping_alias(effective: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """`effective`, which finds the record behind a qualifier, with the alias in the configuration's FunctionArn.

    recorded: AWS gives the ARN with the alias, to a function and in its configuration (LocalStack's
    test_lambda.snapshot.json, test_lambda_provisioned_concurrency_moves_with_alias).
    """

    def effective_with_alias(func: dict[str, Any] | None, qualifier: str | None) -> tuple[Any, Any]:
        record, config = effective(func, qualifier)
        if func is None or record is None or qualifier not in (func.get("aliases") or {}):
            return record, config
        config = {**config, "FunctionArn": func["aliases"][qualifier].get("AliasArn") or config.get("FunctionArn")}
        return {**record, "config": config}, config

    return effective_with_alias


def weights_of(alias: dict[str, Any] | None) -> dict[str, float]:
    """AdditionalVersionWeights of an alias."""
    return ((alias or {}).get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}


def version_behind(func: dict[str, Any], qualifier: str) -> str | None:
    """The version that an alias points to, or the version itself; None where there is none."""
    alias = (func.get("aliases") or {}).get(qualifier)
    if alias is not None:
        return str(alias.get("FunctionVersion", "$LATEST"))
    return qualifier if qualifier in (func.get("versions") or {}) else None


def record_behind(func: dict[str, Any], qualifier: str) -> dict[str, Any] | None:
    version = version_behind(func, qualifier)
    found: dict[str, Any] | None = (func.get("versions") or {}).get(version)
    return found


def reserved_of(func: dict[str, Any]) -> int | None:
    """A function's reserved concurrency as MiniStack keeps it: a number, or a dictionary with one."""
    value = func.get("concurrency")
    if isinstance(value, dict):
        value = value.get("ReservedConcurrentExecutions")
    return None if value is None else int(value)


def _function_name(props: dict[str, Any]) -> str:
    from ministack.services.cloudformation import provisioners

    return str(provisioners._lambda_function_for_cfn_ref(props.get("FunctionName", ""))[1])


def _scoped(name: str, qualifier: str) -> Scoped:
    from ministack.core.responses import get_account_id, get_region

    return get_account_id(), get_region(), name, qualifier


def _now() -> str:
    from ministack.services import lambda_svc

    return str(lambda_svc._now_iso())


def _answer(body: dict[str, Any], status: int = 200) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def _refused(refusal: Refusal) -> Response:
    from ministack.core.responses import error_response_json

    answer: Response = error_response_json(refusal.code, refusal.message, refusal.status)
    return answer
