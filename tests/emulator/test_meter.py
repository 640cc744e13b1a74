"""How long a job took, of processes that are known to compute or to sleep."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.emulator.meter import Speedometer, VirtualMeter, usage

pytestmark = pytest.mark.process

SPEED = Speedometer(1)


@contextmanager
def process(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that runs `code`, which says `go` when it begins what is measured and `end` when it is done."""
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None and started.stdout.readline() == b"ready\n"
        try:
            yield started
        finally:
            started.kill()


def measured(code: str, cpu_factor: float = 1.0, neighbours: int = 0) -> float:
    """The virtual duration of `code`, with so many busy loops beside it."""
    begin = "import sys, time, subprocess\nprint('ready', flush=True)\nsys.stdin.readline()"
    script = f"{begin}\n{code}\nprint('end', flush=True)\nsys.stdin.readline()"
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
    try:
        with process(script) as running:
            assert running.stdin is not None and running.stdout is not None
            meter = VirtualMeter(0.0, cpu_factor, SPEED)
            meter.begin(running.pid)
            running.stdin.write(b"go\n")
            running.stdin.flush()
            assert running.stdout.readline() == b"end\n"
            return meter.elapsed_ms(time.monotonic_ns())
    finally:
        for loop in busy:
            loop.kill()
            loop.wait()


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
    assert 600 <= measured(BURN.format(0.2), cpu_factor=3.0) < 700
    assert 200 <= measured("time.sleep(0.2)", cpu_factor=3.0) < 240


def test_a_child_process_computes_for_its_parent():
    """Its CPU time is not in the parent's clock: neither while it lives nor after it has been waited for."""
    burn = BURN.format(0.2).strip().replace("\n", "\\n")
    code = f"subprocess.run([sys.executable, '-I', '-c', 'import time\\n{burn}'])"
    assert measured(code, cpu_factor=3.0) >= 600


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


def test_what_cannot_be_asked_any_more_is_none():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert usage(gone.pid) is None


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=30), st.integers(1, 10**9))
def test_the_speed_is_the_median_of_the_last_starts_against_the_reference(starts: list[int], reference: int):
    speed = Speedometer(reference)
    assert speed.scale() == 1.0
    for start in starts:
        speed.add(start)
    last = sorted(starts[-Speedometer.SAMPLES :])
    assert speed.scale() == reference / last[len(last) // 2]
