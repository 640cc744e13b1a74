"""The emulator starts once, ends whole, and leaves nothing behind whatever kills it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from serverless_lab.emulator import control, runtime_directory
from serverless_lab.errors import EmulatorError
from serverless_lab.project import Project
from tests.emulator.conftest import Emulator

pytestmark = pytest.mark.process


def wait_until(condition, seconds: float = 20.0) -> bool:
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        pause.wait(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_up_twice_gives_the_same_emulator(project: Project):
    first, started = control.up(project)
    second, started_again = control.up(project)
    assert (started, started_again) == (True, False)
    assert first["instance_id"] == second["instance_id"]


def test_up_at_the_same_time_starts_one_emulator(project: Project):
    """Two terminals, one directory."""
    command = [sys.executable, "-m", "serverless_lab.cli.main", "up", "--json"]
    both = [
        subprocess.Popen(command, cwd=project.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert answers[0]["instance_id"] == answers[1]["instance_id"]
    assert sorted(answer["started"] for answer in answers) == [False, True]


def test_two_projects_have_emulators_of_their_own(tmp_path: Path):
    """What one deploys, the other does not see."""
    projects = [Project(tmp_path / name) for name in ("one", "two")]
    try:
        emulators = [Emulator(project, control.up(project)[0]) for project in projects]
        assert emulators[0].url != emulators[1].url
        emulators[0].create("mine", "def handler(e, c): pass\n")
        assert emulators[1].client("lambda").list_functions()["Functions"] == []
    finally:
        for project in projects:
            control.down(project)


def working_folder(pid: int) -> Path:
    """Of the emulator whose environment has process `pid`: two folders above the function's code."""
    for mount in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        _, _, _, root, point, *_ = mount.split()
        if point == "/var/task":
            return Path(root).parents[1]
    return Path(f"/proc/{pid}/cwd").resolve().parents[1]


def test_down_ends_every_process_and_removes_the_working_folder(project: Project):
    work = runtime_directory.cache_directory() / "work"
    status, _ = control.up(project)
    folders = set(work.iterdir())
    emulator = Emulator(project, status)
    pid = emulator.invoke(emulator.create("pid", "import os\ndef handler(e, c):\n    return os.getpid()\n")).body
    home = working_folder(pid)
    assert home in folders
    assert control.down(project)
    assert not alive(status["pid"])
    assert not alive(pid)
    assert not home.exists()
    assert control.status(project) is None
    assert not control.down(project)


def test_a_killed_emulator_leaves_no_process_behind_and_the_next_one_starts(project: Project):
    """Even a function in an endless loop, which would never ask for its next event, ends with it."""
    status, _ = control.up(project)
    emulator = Emulator(project, status)
    code = """
        import os, subprocess
        def handler(event, context):
            if event == "pid":
                child = subprocess.Popen(["sleep", "1000"])
                own_session = subprocess.Popen(["sleep", "1000"], start_new_session=True)
                return [os.getpid(), child.pid, own_session.pid]
            while True:
                pass
    """
    name = emulator.create("endless", code, Timeout=900)
    pids = emulator.invoke(name, "pid").body
    emulator.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b'"loop"')
    home = working_folder(pids[0])
    assert wait_until(lambda: emulator.project and control.status(project)["environments"][name]["invoke"] == 1)
    os.kill(status["pid"], signal.SIGKILL)
    assert wait_until(lambda: not any(map(alive, pids)))
    assert wait_until(lambda: not home.exists())
    again, started = control.up(project)
    assert started
    assert again["instance_id"] != status["instance_id"]


def test_a_port_in_use_is_an_error_that_names_it(project: Project):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(EmulatorError, match=f"port {port} on 127.0.0.1 is in use"):
            control.up(project, control.UpOptions(port=port))
    assert control.status(project) is None


def test_an_environment_ends_after_its_idle_lifetime(project: Project):
    status, _ = control.up(project, control.UpOptions(idle_lifetime_ms=300))
    emulator = Emulator(project, status)
    name = emulator.create("short", "import os\ndef handler(e, c):\n    return os.getpid()\n")
    pid = emulator.invoke(name).body
    assert wait_until(lambda: not alive(pid))
    assert control.status(project)["environments"] == {}
    assert emulator.invoke(name).body != pid
    assert [report.init_duration_ms is not None for report in emulator.reports(name)] == [True, True]


def test_the_same_seed_gives_the_same_ids(project: Project):
    """Chance is handed in, so a run can be repeated."""
    seen = []
    for _ in range(2):
        emulator = Emulator(project, control.up(project, control.UpOptions(seed=7))[0])
        name = emulator.create("ids", "def handler(e, c):\n    return 1\n")
        answers = [emulator.invoke(name) for _ in range(2)]
        seen.append([(answer.request_id, answer.headers["x-lab-environment-id"]) for answer in answers])
        control.down(project)
    assert seen[0] == seen[1]
