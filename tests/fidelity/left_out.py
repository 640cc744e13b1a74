"""What the embedded emulator leaves out, and differences that no test can show."""

from __future__ import annotations

from tests.fidelity.table import Area, Behaviour, Grade

LEFT_OUT: list[Behaviour] = [
    Behaviour(
        Area.PROVISIONED_CONCURRENCY,
        "Application Auto Scaling changes it on a schedule or by its utilization.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html",
        grade=Grade.DOCUMENTED,
        differs="left out: MiniStack has no Application Auto Scaling; PutProvisionedConcurrencyConfig can be called "
        "at any time",
    ),
    Behaviour(
        Area.PROVISIONED_CONCURRENCY,
        "Allocation begins after a minute or two, goes on at 6,000 environments a minute, and opens more log streams "
        "than were asked for.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html "
        "https://github.com/localstack/localstack/blob/main/tests/aws/services/lambda_/test_lambda.py",
        grade=Grade.DOCUMENTED,
        differs="begins at once, all inits at the same instant of virtual time, one stream for each",
    ),
    Behaviour(
        Area.PROVISIONED_CONCURRENCY,
        "Provisioned environments are recycled and initialised anew from time to time.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html",
        grade=Grade.DOCUMENTED,
        differs="left out: they live until their setting changes or they crash",
    ),
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
