"""How close the embedded emulator comes to AWS: each behaviour with its source and the test that shows it.

    table.py        what a row is, and the page made of all rows: docs/fidelity.md
    left_out.py     what the emulator does not do, and what it does otherwise where no test can show it
    events.py       queues and events for the tests of asynchronous invocations
    test_*.py       one module for each area; a test marked with `@aws(...)` is a row
    test_table.py   the page is up to date, and no area is thinner than it must be

`python -m tests.fidelity > docs/fidelity.md` writes the page anew. What a test expects is a literal taken from the
row's source, never what our own code renders.
"""
