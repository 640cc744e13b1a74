"""How fast this machine's CPU is at what counts as speed 1: measured once, with real starts of a runtime process."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from serverless_lab.emulator.output import BOOT_FRAME, HEADER
from serverless_lab.emulator.process import BOOTSTRAP, ISOLATED, SAMPLE
from serverless_lab.emulator.speed import Reference, Sample, middle_mean


def measure_reference(interpreter: Path, sys_path: list[str], starts: int) -> Reference:
    """What a start of a runtime process that loads boto3, and the pieces of work meanwhile, take on this CPU.

    The third of the starts that was quicker counts: a busy machine only ever makes them slower.
    """
    found = sorted((_one_start(interpreter, sys_path) for _ in range(starts)), key=lambda start: start[0])
    best = found[: max(1, starts // 3)]
    samples = [sample for _, of_start in best for sample in of_start]
    return Reference(
        boot=int(middle_mean([boot for boot, _ in best])),
        sample=Sample(*(max(1, int(middle_mean(taken))) for taken in zip(*samples, strict=True))),
    )


def _one_start(interpreter: Path, sys_path: list[str]) -> tuple[int, list[Sample]]:
    read, write = os.pipe()
    try:
        settings = json.dumps({"sys_path": sys_path, "handler": "", "view": None, "virtual": True, "reference": True})
        command = [str(interpreter), *ISOLATED, str(BOOTSTRAP), settings]
        environment = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:0", "_LAMBDA_TELEMETRY_LOG_FD": str(write)}
        subprocess.run(command, pass_fds=(write,), env=environment, check=True, capture_output=True)
        frames = os.read(read, 1 << 16)
    finally:
        os.close(read)
        os.close(write)
    boot, at = 0, 0
    samples: list[Sample] = []
    while at < len(frames):
        frame_type, length, number = HEADER.unpack_from(frames, at)
        at += HEADER.size
        if frame_type == BOOT_FRAME:
            boot = number
        else:
            samples += map(Sample._make, SAMPLE.iter_unpack(frames[at : at + length]))
        at += length
    return boot, samples
