"""How long a job took, of processes that are known to compute or to sleep."""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from serverless_lab.emulator import meter as meter_module
from serverless_lab.emulator.meter import Strain, VirtualMeter, WallMeter
from serverless_lab.emulator.speed import Reference, Sample, Speedometer
from serverless_lab.emulator.usage import Account, usage

pytestmark = [pytest.mark.process, pytest.mark.alone]

SPEED = Speedometer(None)


@contextmanager
def process(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that runs `code`, which says `go` when it begins what is measured and `end` when it is done."""
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None and started.stdout.readline() == b"ready\n"
        try:
            yield started
        finally:
            started.kill()


def measured(code: str, vcpus: float = 1.0, neighbours: int = 0, meters: list[VirtualMeter] | None = None) -> float:
    """The virtual duration of `code` with so many virtual CPUs, and with so many busy loops beside it."""
    begin = "import sys, time, subprocess\nprint('ready', flush=True)\nsys.stdin.readline()"
    script = f"{begin}\n{code}\nprint('end', flush=True)\nsys.stdin.readline()"
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
    try:
        with process(script) as running:
            assert running.stdin is not None and running.stdout is not None
            meter = VirtualMeter(0.0, vcpus, SPEED)
            meter.begin(running.pid)
            (meters if meters is not None else []).append(meter)
            running.stdin.write(b"go\n")
            running.stdin.flush()
            assert running.stdout.readline() == b"end\n"
            return meter.elapsed_ms(time.monotonic_ns())
    finally:
        for loop in busy:
            loop.kill()
            loop.wait()


TRIES = 5

BURN = """
begin = time.process_time()
while time.process_time() - begin < {}:
    pass
"""


@pytest.mark.parametrize("neighbours", [0, 4])
def test_computing_takes_its_cpu_time_whoever_else_computes(neighbours: int):
    """With four busy loops beside it on two cores it takes two to three times as long in real time."""
    assert 200 <= measured(BURN.format(0.2), neighbours=neighbours) < 240


def test_less_memory_makes_computing_slower_and_sleeping_not():
    assert 600 <= measured(BURN.format(0.2), vcpus=1 / 3) < 700
    assert 195 <= measured("time.sleep(0.2)", vcpus=1 / 3) < 240


def test_a_child_process_computes_for_its_parent():
    """Its CPU time is not in the parent's clock: neither while it lives nor after it has been waited for."""
    burn = BURN.format(0.2).strip().replace("\n", "\\n")
    code = f"subprocess.run([sys.executable, '-I', '-c', 'import time\\n{burn}'])"
    assert measured(code, vcpus=1 / 3) >= 600


def test_the_time_an_emulated_service_takes_is_replaced_by_awss():
    """Two calls in parallel count once, with the longer of them."""
    with process("print('ready', flush=True); import time; time.sleep(100)") as running:
        meter = VirtualMeter(0.0, 1.0, SPEED)
        meter.begin(running.pid)
        before_ns = time.monotonic_ns()
        with meter.service(4.0), meter.service(18.0):
            while time.monotonic_ns() - before_ns < 50_000_000:
                pass
        after_ns = time.monotonic_ns()
        assert 18.0 <= meter.elapsed_ms(after_ns) < 18.0 + 20.0


def test_what_a_job_took_before_it_went_on_to_other_work_stays_as_it_was():
    """A repeated init is followed by the handler in one job: the CPU's speed for one does not change the other."""
    reference = Reference(boot=40_000_000, sample=Sample(1_000_000, 1_000_000, 1_000_000))
    with process(f"print('ready', flush=True){BURN.format(0.1)}\nimport time; time.sleep(100)") as running:
        meter = VirtualMeter(0.0, 1.0, Speedometer(reference))
        meter.begin(running.pid, time.monotonic_ns())
        meter.hear(
            20_000_000, [Sample(250_000, 250_000, 4_000_000)], None
        )  # init counts twice and more, loops a quarter
        while (init_ms := meter.elapsed_ms(time.monotonic_ns())) < 100:
            pass
        meter.begin(running.pid, settled_ms=init_ms)
        meter.hear(None, [], None)
        passed_ms = [meter.elapsed_ms(time.monotonic_ns()) for _ in range(100)]
        assert min(passed_ms) >= init_ms
        with meter.service(18.0):
            assert init_ms <= meter.surely_ms()
        assert meter.elapsed_ms(time.monotonic_ns()) >= init_ms + 18.0


def test_a_job_that_is_held_up_by_a_busy_host_is_not_taken_to_sleep():
    """What is sure of a job that computes is its CPU time, however long it waits for a CPU."""
    with process("print('ready', flush=True)\nwhile True: pass") as running:
        base = usage(running.pid)
        assert base is not None
        while (now := usage(running.pid)) is not None and now.cpu_ns < base.cpu_ns + 20_000_000:
            pass  # until it surely is in its loop
        meter = VirtualMeter(0.0, 1.0, SPEED)
        base = usage(running.pid)
        assert base is not None
        meter.begin(running.pid)
        for _ in range(200):
            sure = meter.surely_ms()
            now = usage(running.pid)
            assert now is not None
            assert sure <= (now.cpu_ns - base.cpu_ns) / 1e6 + 0.5
            assert not meter.is_blocked()


def test_a_job_that_computes_is_watched_through_one_clock(monkeypatch: pytest.MonkeyPatch):
    """All its threads and children are dearer to read: every few looks, and when the job has been heard of."""
    reads = []
    read = Account.read
    monkeypatch.setattr(Account, "read", lambda self, **named: reads.append(self) or read(self, **named))
    with process("print('ready', flush=True)\nwhile True: pass") as running:
        meter = VirtualMeter(0.0, 1.0, SPEED)
        meter.begin(running.pid)
        meter.surely_ms()
        reads.clear()
        used_ns = itertools.count(10**12, 10**12)  # whatever the host does, it has computed all the time
        monkeypatch.setattr(Account, "process_cpu_ns", lambda self: next(used_ns))
        begun_ns = time.monotonic_ns()
        while time.monotonic_ns() - begun_ns < 100_000_000:
            meter.surely_ms()
        watched_ns = time.monotonic_ns() - begun_ns
        assert not meter.is_blocked()
        assert len(reads) <= watched_ns / meter_module.READ_AGAIN_NS + 1
        reads.clear()
        meter.elapsed_ms(time.monotonic_ns())
        assert len(reads) == 1


def test_what_cannot_be_asked_any_more_is_none():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert usage(gone.pid) is None


@pytest.mark.parametrize("neighbours", [0, 4])
def test_threads_that_end_take_no_wait_with_them(neighbours: int):
    """Threads that computed and waited for a CPU are gone when the job is over; their wait is still not the job's."""
    burn = "    " + BURN.strip().format(0.1).replace("process_time", "thread_time").replace("\n", "\n    ")
    code = f"import threading\ndef burn():\n{burn}\nfor _ in range(3):\n    one = threading.Thread(target=burn)\n"
    code += "    one.start()\n    one.join()"
    assert 300 <= measured_with_looks(code, vcpus=1.0, neighbours=neighbours) < 400


def test_more_than_one_vcpu_helps_threads_that_compute_at_the_same_time_and_nobody_else():
    """Hashing lets go of the interpreter's lock. A busy host can only hide that threads ran at the same time."""
    hashing = "import hashlib, threading\ndata = bytes(150_000_000)\n"
    one_thread = hashing + "for _ in range(4):\n    hashlib.sha256(data)"
    threads = hashing + "all = [threading.Thread(target=hashlib.sha256, args=(data,)) for _ in range(4)]\n"
    threads += "for one in all:\n    one.start()\nfor one in all:\n    one.join()"
    alone = measured_with_looks(one_thread, vcpus=4.0)
    assert measured_with_looks(threads, vcpus=1.0) > 0.85 * alone
    assert any(measured_with_looks(threads, vcpus=2.0) < 0.7 * alone for _ in range(TRIES))
    assert any(measured_with_looks(threads, vcpus=4.0) < 0.45 * alone for _ in range(TRIES))


def measured_with_looks(code: str, vcpus: float, neighbours: int = 0) -> float:
    """As `measured`, with the looks that the clock takes at a running job."""
    ended = threading.Event()
    meters: list[VirtualMeter] = []

    def look() -> None:
        while not ended.wait(0.004):
            for meter in meters:
                meter.surely_ms()

    looker = threading.Thread(target=look)
    looker.start()
    try:
        return measured(code, vcpus, neighbours, meters)
    finally:
        ended.set()
        looker.join()


def test_without_run_queue_waits_a_job_has_what_it_computed_and_slept(monkeypatch: pytest.MonkeyPatch):
    """Some kernels have no schedstat: then what a job waited cannot be told from sleep, so sleep must be seen."""
    monkeypatch.setattr(meter_module, "tells_run_delay", lambda: False)
    code = BURN.format(0.1) + "\ntime.sleep(0.2)\n" + BURN.format(0.1)
    assert 350 <= measured_with_looks(code, vcpus=1.0, neighbours=4) < 440


def test_on_the_wall_clock_the_wait_for_a_cpu_counts_and_is_told():
    strain = Strain()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    begin = "import sys, time\nprint('ready', flush=True)\nsys.stdin.readline()"
    try:
        with process(f"{begin}\n{BURN.format(0.2)}\nprint('end', flush=True)\nsys.stdin.readline()") as running:
            assert running.stdin is not None and running.stdout is not None
            meter = WallMeter(0.0, strain)
            meter.begin(running.pid)
            running.stdin.write(b"go\n")
            running.stdin.flush()
            assert running.stdout.readline() == b"end\n"
            took_ms = meter.elapsed_ms(time.monotonic_ns())
    finally:
        for loop in busy:
            loop.kill()
            loop.wait()
    assert took_ms > 250
    assert strain.executed_ms == took_ms
    assert 0.1 * took_ms < strain.waited_ms < took_ms - 190
