"""CloudWatch Logs at any volume: pages, their pace, and what of them is kept on disk.

    paging.py    which request comes next, and which events of an answer are new; pure
    pace.py      how fast requests may follow each other, and how long to wait after a refusal
    kept.py      the events of stretches of time that were read to their end, in files
    reader.py    log groups x stretches of time, several at once -> LogEvents; with FilterLogEvents
    queries.py   the same with Logs Insights
    volume.py    how much a range holds, and which of the two is to read it

`sources.read_cloudwatch_logs` waits for late events and looks environments' pasts up, with a reader from here.
"""
