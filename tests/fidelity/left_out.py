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
        differs="its memory is watched (docs/decisions/0007-memory.md): it may use some megabytes more for a moment, "
        "and what it does between invocations counts when the next one ends",
    ),
    Behaviour(
        Area.ASYNC,
        "When invocations fail, a queue's mapping is read by fewer invocations at a time for a while.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html",
        grade=Grade.DOCUMENTED,
        differs="left out: AWS does not say by how many; messages come back after their visibility timeout",
    ),
    Behaviour(
        Area.ASYNC,
        "With a batching window and little traffic a queue's mapping may wait for up to 20 seconds.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html",
        grade=Grade.DOCUMENTED,
        differs="the window that was asked for is waited for, from the first message on",
    ),
    Behaviour(
        Area.ASYNC,
        "A mapping may take minutes to begin, so that LATEST can miss what is written meanwhile.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html",
        grade=Grade.DOCUMENTED,
        differs="a mapping begins at once",
    ),
    Behaviour(
        Area.ASYNC,
        "The queue of asynchronous events is eventually consistent: an event may be delivered twice, or dropped when"
        " the function cannot keep up.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html",
        grade=Grade.DOCUMENTED,
        differs="each event is delivered once for each attempt, and none is dropped before its maximum age",
    ),
    Behaviour(
        Area.ASYNC,
        "Stream mappings may keep state over tumbling windows; queue mappings may have provisioned pollers.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-windows.html"
        " https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#sqs-provisioned-mode",
        grade=Grade.DOCUMENTED,
        differs="left out",
    ),
    Behaviour(
        Area.ASYNC,
        "Kinesis mappings retry, bisect and give up as those of DynamoDB streams do.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html",
        grade=Grade.DOCUMENTED,
        differs="MiniStack's own mapping: a failing batch is tried again every second, without limit",
    ),
    Behaviour(
        Area.RUNTIMES,
        "A runtime is a patch version of its language that AWS updates; others are Java, .NET and Ruby.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html",
        grade=Grade.DOCUMENTED,
        differs="the host's version of Python or Node.js; where it lacks the one that is asked for, another of its"
        " versions serves, with a note, and a language it lacks altogether is told by every invocation",
    ),
    Behaviour(
        Area.RUNTIMES,
        "Node.js handlers may stream their response.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/config-rs-write-functions.html",
        grade=Grade.DOCUMENTED,
        differs="left out: `awslambda.streamifyResponse` says so",
    ),
    Behaviour(
        Area.ENVIRONMENT,
        "/tmp is a disk.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html",
        grade=Grade.DOCUMENTED,
        differs="a file system in the host's memory, not counted as the function's; on hosts without mount namespaces a"
        " folder named by TMPDIR, of no limited size",
    ),
    Behaviour(
        Area.ENVIRONMENT,
        "Nothing of another machine is in the file system: it is Amazon Linux.",
        source="https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html",
        grade=Grade.DOCUMENTED,
        differs="the host's files are there beside /var/task, /opt, /var/runtime and /tmp, its programs on the PATH",
    ),
]
