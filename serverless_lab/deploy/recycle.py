"""Environments that are new when a run begins, where time cannot be skipped.

Nobody can ask Lambda to end an environment, but no environment of one version ever serves another. So each function
gets a version of its own for the run: a setting of $LATEST is changed (its description, as SAM changes it to have a
version published), the version is published, the setting put back, and the alias moved to the version, with its
provisioned concurrency. After the run the alias goes back and the version is deleted, so that the stack is what
CloudFormation says it is, and versions do not pile up. An emulator may cut off what still runs on a version that is
deleted (LocalStack 4.8.1 does), and after a run a stream is still being read: there versions go before the next run. A
function without an alias is called as $LATEST: there an
environment variable is added, and taken away after the run, and each change gives it new environments.

What is to be put back is written down before anything is changed: a run that was killed is put right by the next
command. The note holds no environment variable, since those may be secrets.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from serverless_lab.deploy.events import Patience, patience_for
from serverless_lab.errors import DeployError
from serverless_lab.project import Deployment, read_json, write_json
from serverless_lab.targets.base import Target
from serverless_lab.targets.clients import error_code, errors_of

VARIABLE = "LAB_RECYCLED"
MARK = "lab-recycled-"
AGAIN = "repeat: what was changed is put back first"

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class Recycled:
    """One function as it was found, and the version it got. Everything needed to put it back.

    `alias` is None for a function that is called as $LATEST: then there is no version either. `provisioned` is how many
    environments provisioned concurrency keeps for the alias.
    """

    function: str
    alias: str | None = None
    version_before: str | None = None
    weights_before: Mapping[str, float] = field(default_factory=dict)
    description_before: str = ""
    version: str | None = None
    provisioned: int = 0


class Recycler:
    """Gives the functions of a deployment new environments, and puts them back.

    Args:
        journal: the file that says what is to be put back.
    """

    def __init__(
        self,
        target: Target,
        journal: Path,
        *,
        on_step: OnStep = lambda step: None,
        patience: Patience | None = None,
    ) -> None:
        self._target = target
        self._journal = journal
        self._on_step = on_step
        self._patience = patience or patience_for(target)
        self._lambda = target.client("lambda")

    def recycle(self, deployment: Deployment) -> tuple[Recycled, ...]:
        """Give every function of `deployment` new environments; `put_back` undoes it, also when this fails half-way.

        Raises:
            DeployError: one could not be had.
            TargetError: the target cannot be reached or refuses.
        """
        mark = MARK + uuid.uuid4().hex
        done: list[Recycled] = []
        self._on_step(f"new environments for {_functions(len(deployment.functions))} of `{deployment.stack_name}`")
        with errors_of(self._target, AGAIN):
            for function in deployment.functions:
                found = self._found(function.name, function.alias)
                self._write(deployment, mark, [*done, found])
                made = self._variable_added(found, mark) if found.alias is None else self._version_made(found, mark)
                done.append(made)
                self._write(deployment, mark, done)
            for one in done:
                self._wait_until_provisioned(one)
                self._check(one)
        return tuple(done)

    def put_back(self, *, versions: bool = True) -> tuple[Recycled, ...]:
        """Undo what the journal says was changed, by this command or one that was killed; what there was to undo.

        Args:
            versions: delete the versions that were made for the run, too. Without that the journal stays, and the next
                call deletes them.

        Nothing is touched that somebody else has changed since: an alias that a deployment has moved stays. On another
        target nothing is done, where all that is left is versions that nothing calls any more.

        Raises:
            DeployError: it cannot be, or not on this target; the journal stays then.
            TargetError: the target cannot be reached or refuses, likewise.
        """
        noted = read_json(self._journal)
        if noted is None:
            return ()
        entries = [Recycled(**entry) for entry in noted["functions"]]
        left = self.left_elsewhere()
        if left is not None:
            raise left
        if not self.is_here():
            return ()
        what = "putting back" if not noted.get("put_back") else "deleting the last run's versions of"
        self._on_step(f"{what} {_functions(len(entries))} of `{noted['stack_name']}`")
        with errors_of(self._target, AGAIN):
            for entry in entries:
                # Where the function is gone, there is nothing to put back.
                with suppress(self._lambda.exceptions.ResourceNotFoundException):
                    self._put_back(entry, str(noted["mark"]), versions)
        if versions:
            self._journal.unlink(missing_ok=True)
        else:
            write_json(self._journal, {**noted, "put_back": True})
        return tuple(entries)

    def left_elsewhere(self) -> DeployError | None:
        """What is still to be put back on another target; None where nothing is."""
        noted = read_json(self._journal)
        if noted is None or noted.get("put_back") or self.is_here():
            return None
        return DeployError(
            f"functions of stack `{noted['stack_name']}` are still as a run has left them, on "
            f"{noted['endpoint_url'] or 'AWS'} in {noted['region']}",
            hint=f"run a command on that target, which puts them back; or, when it is gone: rm {self._journal}",
        )

    def forget(self, stack_name: str) -> None:
        """Nothing is to be put back any more of a stack that has been deleted here."""
        noted = read_json(self._journal)
        if noted is not None and self.is_here() and noted["stack_name"] == stack_name:
            self._journal.unlink(missing_ok=True)

    def is_here(self) -> bool:
        """Whether what the journal says was changed on this target."""
        noted = read_json(self._journal)
        here = (self._target.endpoint_url, self._target.region)
        return noted is not None and (noted["endpoint_url"], noted["region"]) == here

    # --- one function ---

    def _found(self, name: str, alias: str | None) -> Recycled:
        configuration = self._lambda.get_function_configuration(FunctionName=name)
        found = Recycled(name, description_before=configuration.get("Description") or "")
        if alias is None:
            return found
        there = self._lambda.get_alias(FunctionName=name, Name=alias)
        weights = (there.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return replace(
            found,
            alias=alias,
            version_before=str(there["FunctionVersion"]),
            weights_before={str(version): float(weight) for version, weight in weights.items()},
            provisioned=self._provisioned(name, alias),
        )

    def _version_made(self, found: Recycled, mark: str) -> Recycled:
        name = found.function
        self._configure(name, Description=mark)
        # Its own description is the mark: so it is found again by whoever has to delete it.
        published = self._lambda.publish_version(FunctionName=name, Description=mark)
        version = str(published["Version"])
        if version == found.version_before:
            raise DeployError(
                f"{self._target.name} published no new version of `{name}` after a change of its description",
                hint="leave --cold away: environments are as warm as the last requests left them",
            )
        self._configure(name, Description=found.description_before)
        self._wait(f"version {version} of `{name}`", name, Qualifier=version)
        self._lambda.update_alias(
            FunctionName=name,
            Name=found.alias,
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": {}},
        )
        return replace(found, version=version)

    def _variable_added(self, found: Recycled, mark: str) -> Recycled:
        variables, revision = self._variables(found.function)
        self._configure(found.function, Environment={"Variables": {**variables, VARIABLE: mark}}, RevisionId=revision)
        return found

    def _put_back(self, entry: Recycled, mark: str, versions: bool) -> None:
        name = entry.function
        if entry.alias is None:
            variables, revision = self._variables(name)
            if variables.pop(VARIABLE, None) is not None:
                self._configure(name, Environment={"Variables": variables}, RevisionId=revision)
            return
        made = [version for version in self._versions(name) if version["Description"] == mark]
        if self._alias_version(name, entry.alias) in [version["Version"] for version in made]:
            self._lambda.update_alias(
                FunctionName=name,
                Name=entry.alias,
                FunctionVersion=entry.version_before,
                RoutingConfig={"AdditionalVersionWeights": dict(entry.weights_before)},
            )
            self._wait_until_provisioned(entry)
        if self._lambda.get_function_configuration(FunctionName=name).get("Description") == mark:
            self._configure(name, Description=entry.description_before)
        for version in made if versions else ():
            self._lambda.delete_function(FunctionName=name, Qualifier=version["Version"])

    def _check(self, one: Recycled) -> None:
        if one.alias is None:
            return
        there = self._alias_version(one.function, one.alias)
        if there != one.version:
            raise DeployError(
                f"alias {one.alias} of `{one.function}` is at version {there}, not at {one.version} as it was told",
                hint="is something else deploying? Repeat when it has ended",
            )

    # --- calls ---

    def _alias_version(self, name: str, alias: str) -> str | None:
        try:
            return str(self._lambda.get_alias(FunctionName=name, Name=alias)["FunctionVersion"])
        except self._lambda.exceptions.ResourceNotFoundException:
            return None

    def _configure(self, name: str, **settings: Any) -> None:
        self._lambda.update_function_configuration(FunctionName=name, **settings)
        self._wait(f"an update of `{name}`", name)

    def _wait(self, what: str, name: str, **qualifier: str) -> None:
        for _ in self._patience.looks(what):
            found = self._lambda.get_function_configuration(FunctionName=name, **qualifier)
            if found.get("State") == "Failed" or found.get("LastUpdateStatus") == "Failed":
                reason = found.get("LastUpdateStatusReason") or found.get("StateReason") or "no reason was given"
                raise DeployError(f"{what} failed: {reason}", hint=AGAIN)
            if found.get("State") != "Pending" and found.get("LastUpdateStatus") != "InProgress":
                return

    def _variables(self, name: str) -> tuple[dict[str, str], str]:
        found = self._lambda.get_function_configuration(FunctionName=name)
        return dict((found.get("Environment") or {}).get("Variables") or {}), found["RevisionId"]

    def _versions(self, name: str) -> list[dict[str, str]]:
        pages = self._lambda.get_paginator("list_versions_by_function").paginate(FunctionName=name)
        return [
            {"Version": version["Version"], "Description": version.get("Description") or ""}
            for page in pages
            for version in page["Versions"]
            if version["Version"] != "$LATEST"
        ]

    def _provisioned(self, name: str, alias: str) -> int:
        from botocore.exceptions import ClientError

        try:
            found = self._lambda.get_provisioned_concurrency_config(FunctionName=name, Qualifier=alias)
        except ClientError as error:
            if error_code(error) != "ProvisionedConcurrencyConfigNotFoundException":
                raise
            return 0
        return int(found["RequestedProvisionedConcurrentExecutions"])

    def _wait_until_provisioned(self, one: Recycled) -> None:
        """An alias that moves takes its provisioned concurrency along: the environments are made anew."""
        if not one.provisioned:
            return
        for _ in self._patience.looks(f"provisioned concurrency of `{one.function}`"):
            found = self._lambda.get_provisioned_concurrency_config(FunctionName=one.function, Qualifier=one.alias)
            if found["Status"] == "READY":
                return
            if found["Status"] == "FAILED":
                raise DeployError(
                    f"provisioned concurrency of `{one.function}` failed: {found.get('StatusReason', 'no reason')}",
                    hint=AGAIN,
                )

    def _write(self, deployment: Deployment, mark: str, entries: list[Recycled]) -> None:
        write_json(
            self._journal,
            {
                "stack_name": deployment.stack_name,
                "endpoint_url": self._target.endpoint_url,
                "region": self._target.region,
                "mark": mark,
                "functions": [asdict(entry) for entry in entries],
            },
        )


def _functions(count: int) -> str:
    return "1 function" if count == 1 else f"{count} functions"
