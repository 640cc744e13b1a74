"""Sending a scenario: arrivals on time, latency from the intended instant, one row per request.

    arrivals.py     scenario + seed -> schedule (pure)
    templates.py    scenario + seed + arrival number -> the requests it sends (pure)
    dispatcher.py   schedule + clock -> calls at the right instants (pure but for the clock handed in)
    participant.py  a load process's part in an emulator's virtual time
    sender.py       one HTTP exchange over gevent, from a pool of kept-alive connections
    locustfile.py   Locust: its statistics, processes, web page; runs the dispatcher in a process of its own
    virtual_stats.py  Locust's statistics in virtual time, made from the rows
    runner.py       `run_load`: starts that process, follows it, merges its rows, writes the run folder
    samples.py      requests.parquet and the figures drawn from it
    manifest.py     manifest.json of a run folder

`cli` calls `runner`; `runner` starts `locustfile` and never imports it, because Locust patches sockets for its whole
process. I/O happens in `sender`, `locustfile`, `runner`, `samples` and `manifest`.
"""
