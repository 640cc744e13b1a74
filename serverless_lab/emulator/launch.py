"""How a function's runtime process is started: the command, what it can import, and what Lambda sets for its language.

documented: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html (variables),
https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html (paths of layers),
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html (bootstrap).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serverless_lab.emulator.filesystem import OPT, TASK_ROOT, Places
from serverless_lab.emulator.runtimes import Family, Runtime, Scaling, own_python

# assumed: what lambci/docker-lambda's copies of AWS's own start scripts give V8 of the function's memory
OLD_SPACE_SHARE, SEMI_SPACE_SHARE = 0.9, 0.05


@dataclass(frozen=True)
class Launch:
    """What `process.RuntimeProcess` starts.

    Args:
        interpreter: the Python that runs the bootstrap, and for a Python function the handler.
        sys_path: put before the standard library.
        handler: as in the function's configuration.
        program: what the bootstrap becomes, after the kind of it (`node` or `bootstrap`); None for Python.
        scaling: of its speed samples.
        refusal: why it cannot be started; "" where it can.
    """

    interpreter: Path
    sys_path: tuple[str, ...]
    handler: str
    program: tuple[str, ...] | None = None
    scaling: Scaling | None = None
    refusal: str = ""


def launch(
    runtime: Runtime, handler: str, memory_size_mb: int, places: Places, task_root: Path, opt: Path | None
) -> Launch:
    """How to start a function on `runtime`.

    Args:
        places: where the function finds its folders.
        task_root: its code on the host; `opt`: its layers there.
    """
    if runtime.family is Family.PYTHON:
        assert runtime.executable is not None
        version = runtime.python_version
        layers = [] if places.opt is None else [f"{places.opt}/python/lib/python{version}/site-packages"]
        layers += [] if places.opt is None else [f"{places.opt}/python"]
        sys_path = (str(places.task_root), *layers, str(places.runtime))
        return Launch(runtime.executable, sys_path, handler, scaling=runtime.scaling)
    python = own_python().path
    if runtime.family is Family.NODE:
        old, semi = int(memory_size_mb * OLD_SPACE_SHARE), max(1, int(memory_size_mb * SEMI_SPACE_SHARE))
        flags = (f"--max-old-space-size={old}", f"--max-semi-space-size={semi}")
        program = ("node", str(runtime.executable), *flags, f"{places.runtime}/runtime.cjs", handler)
        return Launch(python, (), handler, program)
    found = [folder for folder in (task_root, opt) if folder is not None and (folder / "bootstrap").is_file()]
    if not found:
        refusal = f"Couldn't find valid bootstrap(s): [{TASK_ROOT}/bootstrap {OPT}/bootstrap]"
        return Launch(python, (), handler, refusal=refusal)
    seen = places.task_root if found[0] is task_root else places.opt
    return Launch(python, (), handler, ("bootstrap", f"{seen}/bootstrap"))


def variables(runtime: Runtime, places: Places) -> tuple[dict[str, str], dict[str, str]]:
    """What Lambda sets for this runtime: what a function's own variables may replace, and what they may not."""
    opt = [str(places.opt)] if places.opt is not None else []
    libraries = [str(places.task_root), f"{places.task_root}/lib", *(f"{folder}/lib" for folder in opt)]
    free = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": ":".join(["/usr/local/bin", "/usr/bin", "/bin", *(f"{folder}/bin" for folder in opt)]),
        "LD_LIBRARY_PATH": ":".join(libraries),
    }
    reserved = {"LAMBDA_TASK_ROOT": str(places.task_root)}
    # An OS-only runtime has no runtime directory; the variable names it all the same.
    reserved["LAMBDA_RUNTIME_DIR"] = str(places.runtime or "/var/runtime")
    if runtime.family is not Family.PROVIDED:
        reserved["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{runtime.identifier}"
    if runtime.family is Family.NODE:
        assert runtime.version
        major = runtime.version.removeprefix("nodejs:").split(".")[0]
        folders = [f"{folder}/nodejs/{inner}node_modules" for folder in opt for inner in (f"node{major}/", "")]
        free["NODE_PATH"] = ":".join([*folders, f"{places.runtime}/node_modules"])
    return free, reserved
