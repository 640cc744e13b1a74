"""The query language of CloudWatch Logs Insights: what a query says, and its answer over log events.

    lexer.py       the query's text -> tokens, each with its place
    syntax.py      nouns: expressions and commands
    parser.py      tokens -> commands; refuses by name what is not understood
    names.py       which names a query may use where
    periods.py     `bin(5m)`: what a time period is, and where it begins
    discovery.py   LogEvent -> the fields that Insights finds in it
    values.py      numbers, text and what is absent: comparing, sorting, printing
    functions.py   abs, coalesce, strcontains and the others that work on one event
    aggregates.py  count, avg, pct and the others that work on many
    evaluation.py  run(commands, events) -> rows and statistics

Pure: no clock, no threads, no I/O. `emulator/insights_service.py` asks it, for the emulator's API. Everything is from
AWS's pages on the language (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html) unless a
comment says otherwise. A command, function or form that is not here is an error that names it, never a wrong answer.
"""
