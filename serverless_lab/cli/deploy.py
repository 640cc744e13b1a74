"""`lab deploy` and `lab destroy`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serverless_lab.cli.confirm import Yes, confirm_change
from serverless_lab.cli.options import (
    AsJson,
    Parameters,
    Profile,
    Region,
    StackName,
    TargetName,
    TemplatePath,
    parse_parameters,
    print_json,
    say,
    stderr_console,
)
from serverless_lab.cli.stopping import if_stopped
from serverless_lab.errors import NothingDeployed, TemplateError
from serverless_lab.project import Deployment, Project, bundled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serverless_lab.deploy.template import Template
    from serverless_lab.targets.base import Target

Wrap = Annotated[
    bool | None,
    typer.Option(
        "--wrap/--no-wrap",
        help="Put a module beside each function's code that tells of its init.  "
        "[default: where the target prints no Init Duration]",
    ),
]


def deploy(
    target_name: TargetName = None,
    template: TemplatePath = None,
    stack: StackName = None,
    parameter: Parameters = None,
    region: Region = None,
    profile: Profile = None,
    wrap: Wrap = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Create or update a stack from a template.

    Without options the last deployment's template, stack and target are taken; the first time, template.yaml of this
    directory or else the bundled analytics API goes to an emulator that lab starts itself. Parameters that are not
    given have the template's defaults. The API's URL is printed on stdout.

    Example: lab deploy --parameter InitStyle=lazy
    """
    deployment, changed = run_deploy(
        Project(),
        target_name,
        template,
        stack,
        parse_parameters(parameter),
        region,
        profile,
        yes,
        wrap=wrap,
        quiet=as_json,
    )
    if as_json:
        print_json({**deployment.to_json(), "changed": changed})
        return
    say(f"stack {deployment.stack_name} on {deployment.target}: {'deployed' if changed else 'no changes'}")
    for function in deployment.functions:
        here = "" if function.cannot_run is None else ", which does not run here"
        say(f"  {function.name}  {function.memory_size_mb} MB  {function.timeout_s} s  {function.runtime}{here}")
        if function.wrapped_handler is not None:
            say(f"    handler {function.handler}, which measures the import of {function.wrapped_handler}")
    for note in deployment.notes:
        say(f"note: {note}")
    for function in deployment.functions:
        if function.cannot_run is not None:
            say(f"warning: every invocation of {function.name} fails: {function.cannot_run}")
    if deployment.api_url is not None:
        say("API:")
        typer.echo(deployment.api_url)


NO_VIEW_OF_THEIR_OWN = (
    "functions share this machine's /tmp, and their code and layers are in lab's cache, not at /var/task and /opt: "
    "`lab doctor` says why"
)


def run_deploy(
    project: Project,
    target_name: str | None,
    template: Path | None,
    stack: str | None,
    parameters: dict[str, str],
    region: str | None,
    profile: str | None,
    yes: bool,
    *,
    wrap: bool | None = None,
    quiet: bool,
) -> tuple[Deployment, bool]:
    """Deploy and remember it: (the deployment, whether anything changed)."""
    from datetime import datetime

    from serverless_lab.cli.cold import put_back_what_is_left
    from serverless_lab.cli.context import default_stack_name, open_target
    from serverless_lab.cli.estimate import standing_lines
    from serverless_lab.deploy.assembly import template_in
    from serverless_lab.deploy.inventory import describe_deployment
    from serverless_lab.deploy.log_groups import tag_log_groups
    from serverless_lab.deploy.parameters import host_parameters
    from serverless_lab.deploy.progress import StackProgress
    from serverless_lab.deploy.stack import deploy_stack
    from serverless_lab.deploy.template import read_template
    from serverless_lab.deploy.verify import verify_stack
    from serverless_lab.targets.clients import errors_of

    last = project.deployment_of(stack, target_name) or project.deployment_of(None, target_name)
    name = target_name or (last.target if last else "local")
    path = template_in(template, stack) if template else chosen_template(project, last)
    stack_name = stack or (last.stack_name if last else default_stack_name(project))
    # Looked at before anything is started: a mistake in the template leaves nothing behind.
    parameters = {**host_parameters(path, name), **parameters}
    checked = read_template(path)
    values = checked.parameter_values(parameters)
    checked.artifacts(values)
    if name == "local":
        _refuse_if_none_runs(checked, values)
    target = open_target(project, name, last, region=region or (last.region if last else None), profile=profile)
    details = standing_lines(checked, values, target)
    confirm_change(target, f"deploy stack {stack_name}", details=details, yes=yes)
    put_back_what_is_left(project, target)
    left = f"{target.name} ends by itself what it has begun on stack {stack_name}; then `lab deploy` again"
    with if_stopped(left), StackProgress(stderr_console(), quiet=quiet) as view:
        result = deploy_stack(
            target,
            template_path=path,
            stack_name=stack_name,
            parameters=parameters,
            build_directory=project.build,
            wrap=wrap,
            on_event=view.event,
            on_step=view.step,
        )
        notes = verify_stack(
            target, stack_name=stack_name, template_path=path, parameters=result.parameters, on_step=view.step
        )
    deployment = describe_deployment(
        target,
        stack_name=stack_name,
        template_path=path.resolve(),
        parameters=result.parameters,
        now=datetime.now().astimezone(),
        artifact_bucket=result.artifact_bucket,
        notes=(*result.notes, *notes),
    )
    with errors_of(target, "deploy again"):
        untagged = tag_log_groups(target, deployment.functions)
    deployment = replace(deployment, notes=(*deployment.notes, *untagged))
    if name == "local":
        deployment = _with_runtimes(project, deployment)
    elif not target.capabilities.runs_declared_python:
        deployment = _with_own_python(deployment)
    project.remember_deployment(deployment)
    return deployment, result.changed


def destroy(
    stack: Annotated[str | None, typer.Argument(help="Stack name.  [default: the last deployment's]")] = None,
    stack_option: Annotated[str | None, typer.Option("--stack", help="The same, as other commands have it.")] = None,
    target_name: TargetName = None,
    region: Region = None,
    profile: Profile = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove the stack with its objects, logs and artifacts.

    What it does not find is no error. The stack that was deployed before it is the last deployment then. The emulator
    goes on running: `lab down` stops it.

    Example: lab destroy
    """
    from serverless_lab.cli.cold import forget_what_is_left
    from serverless_lab.cli.context import target_of
    from serverless_lab.coldstarts.names import many
    from serverless_lab.deploy.destroy import destroy_stack
    from serverless_lab.deploy.progress import StackProgress
    from serverless_lab.targets import resolve_target

    if None not in (stack, stack_option) and stack != stack_option:
        raise typer.BadParameter(f"name one stack: {stack} or --stack {stack_option}")
    stack = stack or stack_option
    project = Project()
    last = project.deployment_or_none()
    if stack is None and last is None:
        raise NothingDeployed(f"nothing is deployed from {project.directory}", hint="name a stack: `lab destroy NAME`")
    known = project.deployment_of(stack, target_name)
    if known is not None and region not in (None, known.region):
        known = None
    target: Target | None
    if known is not None:
        stack_name, target = known.stack_name, target_of(project, known, profile=profile)
    else:
        stack_name = stack or (last.stack_name if last else "")
        name = target_name or (last.target if last else "local")
        if name == "local":
            from serverless_lab.emulator import control

            found = control.status(project)
            endpoint = None if found is None else f"http://127.0.0.1:{found['port']}"
            target = resolve_target(name, local_endpoint=endpoint, emulator_log=project.emulator_log)
        else:
            target = resolve_target(name, region=region, profile=profile)
    if target is None:
        latest = project.forget_deployments(lambda other: other.target == "local")
        say(f"the emulator that held stack {stack_name} has ended, and the stack with it: nothing to remove")
        _tell_last(latest)
        if as_json:
            print_json({"stack_name": stack_name, "existed": False})
        return
    confirm_change(target, f"delete stack {stack_name} and all its data", yes=yes)
    left = f"{target.name} ends by itself what it has begun on stack {stack_name}; then `lab destroy` again"
    with if_stopped(left), StackProgress(stderr_console(), quiet=as_json) as view:
        removal = destroy_stack(target, stack_name, on_event=view.event, on_step=view.step)
    forget_what_is_left(project, target, stack_name)
    latest = last
    if known is not None:
        latest = project.forget_deployments(known.is_of_same_stack)
    if as_json:
        print_json(vars(removal))
        return
    if not removal.existed:
        say(f"there is no stack {stack_name} on {target.name}: nothing to remove")
    else:
        say(
            f"stack {stack_name} removed: {many(removal.resources, 'resource')}, {many(removal.objects, 'object')}, "
            f"{many(removal.log_groups, 'log group')}, {many(removal.artifacts, 'artifact')}"
        )
    for leftover in removal.leftovers:
        say(f"left: {leftover}")
    for note in removal.notes:
        say(f"note: {note}")
    if latest != last:
        _tell_last(latest)


def _tell_last(latest: Deployment | None) -> None:
    """Which deployment the next commands are about, where that is another one than before."""
    if latest is not None:
        say(f"the last deployment is now stack {latest.stack_name} on {latest.target}")


def chosen_template(project: Project, last: Deployment | None) -> Path:
    """The last deployment's template, else the directory's own, else the bundled one."""
    from serverless_lab.deploy.assembly import TEMPLATE_NAMES

    if last is not None:
        if not Path(last.template).is_file():
            # Taking another instead would replace the stack by something else.
            raise TemplateError(
                f"the template of the last deployment is gone: {last.template}", hint="name one with --template"
            )
        return Path(last.template)
    for name in TEMPLATE_NAMES:
        if (project.directory / name).is_file():
            return project.directory / name
    return bundled("handlers", "template.yaml")


def _refuse_if_none_runs(template: Template, values: Mapping[str, str]) -> None:
    """Raises TemplateError when the embedded emulator can run none of the template's functions."""
    from serverless_lab.deploy.checks import function_runtimes
    from serverless_lab.emulator.runtimes import cannot_run

    runtimes = sorted(set(function_runtimes(template, values).values()))
    reasons = [cannot_run(runtime) for runtime in runtimes]
    if reasons and all(reasons):
        raise TemplateError(
            f"{template.path}: none of its functions runs on the embedded emulator: {'; '.join(reasons)}",
            hint="deploy it to another target: `lab deploy --target localstack`, or aws",
        )


def _with_runtimes(project: Project, deployment: Deployment) -> Deployment:
    """What is not as the functions' Runtimes ask for. Makes ready what they need: no invocation is to wait for it."""
    from serverless_lab.emulator import control
    from serverless_lab.emulator.runtimes import Runtimes

    runtimes = Runtimes(virtual=True, tell=say)
    found = {name: runtimes.get(name) for name in sorted({function.runtime for function in deployment.functions})}
    functions = [
        replace(function, cannot_run=found[function.runtime].problem or None) for function in deployment.functions
    ]
    notes = [runtime.note for runtime in found.values() if runtime.note]
    if functions and not (control.status(project) or {}).get("private_tmp", True):
        notes.append(NO_VIEW_OF_THEIR_OWN)
    return replace(deployment, functions=tuple(functions), notes=(*deployment.notes, *notes))


def _with_own_python(deployment: Deployment) -> Deployment:
    """Says that a standalone MiniStack runs functions in Python on whichever one it runs on itself."""
    runtimes = sorted({function.runtime for function in deployment.functions if function.runtime.startswith("python")})
    note = f"functions of {', '.join(runtimes)} run on MiniStack's own Python here, whatever their Runtime says"
    return replace(deployment, notes=(*deployment.notes, note)) if runtimes else deployment
