"""One scenario, several variants of a deployment: what each does to users and to the bill, with intervals.

Nouns: a `Variant` is template parameters and, where it needs them, changes to the scenario; a `Setting` is a variant
made concrete; a `PlannedRun` is one setting, sent one seed; a `ComparisonFolder` keeps the runs of one scenario;
`RunFigures` are what one run showed; a `ComparisonReport` is what they amount to together.

    variants.py     variants.yaml -> frozen dataclasses; the one place that validates them
    plan.py         variants, seeds -> runs, in the order in which they are sent; pure
    folder.py       where runs are kept: each complete or not at all, under a lock
    execution.py    a fresh deployment, the load, the log: one run. All that talks to targets is here
    figures.py      a run's folder -> what is compared
    estimates.py    intervals of rates, quantiles and means over several runs, and of their differences; pure
    money.py        a variant's month: what stands there, what a request costs
    report.py       figures -> rows, differences, verdicts
    sentences.py    the verdicts in words
    plain.py        the report as JSON; comparison.schema.json describes it

What it looks like is in reporting/comparison*.py; `cli/compare.py` is the command.
"""
