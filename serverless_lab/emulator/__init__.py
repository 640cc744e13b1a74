"""The embedded target: MiniStack for the AWS services, our own Lambda plane for execution.

    edge            what may come in from outside, request ids on what goes out
    ministack       the adapter to MiniStack, with the other ministack_* modules: every invocation passes there
    openapi_routes  what an HTTP API's OpenAPI body says: routes, integrations, authorizers; no I/O
    insights        queries of Logs Insights and their answers, no I/O; `insights_service` is the API in front of them
    plane           carries an invocation: asks the scheduler, runs the phases it commands
    scheduler       decides: events in, commands out (model, events, commands, concurrency, allocation); no I/O, no time
    asynchronous    decides what becomes of an asynchronous invocation; `event_sources`, of a batch; no I/O, no time
    provisioned     what the API of reserved and provisioned concurrency and of weighted aliases says and refuses
    environments    one execution environment: its phases, timeouts and platform log
    process         its runtime process: Runtime API connection, output, end; `memory` watches what it uses
    runtime_api     the Runtime API as data
    outcomes        how an invocation fails, in AWS's words; `payloads`: what Invoke refuses before one begins
    output          what a function writes, as bounded log lines; `platform_log`: what of it and of the platform's own
                    events is written, in text or JSON; `tracing`: X-Ray's header and ids
    runtimes        the interpreters of the host; runtime_directory: what a runtime holds; launch: how it is started
    filesystem      what an environment sees: /var/task, /opt, /var/runtime, /tmp
    configuration   what Lambda refuses of a function's configuration; function_urls what a URL's caller gets
    clock           who is where in time, with threads; `virtual` is its rules, `generators` load generators' part in it
    meter           how long a job takes: `usage` reads its CPU time, `speed` tells how fast the CPU is
    server          puts all of it behind one loopback port, in one process
    control         starts, finds and stops that process from the command line

Waiting and I/O happen in `edge` (an event loop, MiniStack's too) and on the thread of each invocation (`plane`,
`environments`, `process`). The thread of an invocation carries it from end to end. An event that waits and a batch of
an event source have such threads too (`ministack_async`, `ministack_sources`).
"""
