"""What a run, a log or a month of traffic costs, from dated price tables.

    items.py          everything that can be billed here: one key, its service, its unit
    tables/           one file per Region: price, source, date and grade of each item; and the free tier
    prices.py         `load_prices(region)` -> Prices
    usage.py          Usage: how much of each item, and how that is known
    bill.py           `bill(usage, prices)` -> Bill: a line per item and tier, and the total

    service_calls.py  one call to a service -> what AWS bills for it; the emulator counts with it
    log_usage.py      REPORT lines -> Usage
    run_usage.py      a run's folder -> Usage
    profile.py        what the user says of a month -> Usage
    monthly.py        a month at the user's traffic
    estimate.py       a scenario's bill before it is sent, between two ends

    insight.py        what a bill means
    report.py         all that `lab cost` says; gates.py has conditions on it

Quantities and money are Decimal, and nothing is rounded before it is shown. Files are read here, nothing is written.
"""
