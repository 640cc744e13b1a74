"""What the embedded emulator leaves out, and differences that no test can show."""

from __future__ import annotations

from tests.fidelity.table import Area, Behaviour, Grade

LEFT_OUT: list[Behaviour] = [
    Behaviour(
        Area.RUNTIMES,
        "Functions may be container images.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/images-create.html",
        grade=Grade.DOCUMENTED,
        differs="left out: there is no container engine in it",
    ),
    Behaviour(
        Area.LOGS,
        "With active tracing X-Ray samples the first request of each second and one in twenty of the others, and gets "
        "a segment of each.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html",
        grade=Grade.DOCUMENTED,
        differs="every invocation of such a function is sampled, so that runs can be repeated, and no segment is sent",
    ),
    Behaviour(
        Area.FAILURES,
        "An environment has a machine of its own, whose kernel runs out of memory.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html",
        grade=Grade.ASSUMED,
        differs="its memory is watched (docs/decisions/0005-memory.md): it may use some megabytes more for a moment, "
        "and what it does between invocations counts when the next one ends",
    ),
]
