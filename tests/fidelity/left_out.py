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
]
