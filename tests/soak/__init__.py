"""A soak of the emulator: functions that misbehave in every way, for minutes, and an account of what became of it.

`python -m tests.soak --seconds 900` is `make soak`; `test_soak.py` runs a slice of it. Time is virtual: retries, idle
lifetimes and visibility timeouts cost nothing, so a quarter of an hour holds weeks.

    functions    what is deployed, and how each kind of it must be answered
    plan         what one round sends, from the seed alone
    clients      who sends it: generators that take part in virtual time, clients that do not, somebody who deploys
    accounts     what is asserted: answers, the log, queues, processes, the emulator's own resources
    run          rounds of all that, with a deadline

A round sends, lets the retries and the idle lifetimes pass, asserts, and deletes the logs. So what the emulator holds
after a round must be what it held after the one before.
"""
