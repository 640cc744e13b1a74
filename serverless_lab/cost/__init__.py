"""What a run, a log or a month of traffic costs, from dated price tables.

    items.py        everything that can be billed here: one key, its service, its unit
    tables/         one file per Region: price, source, date and grade of each item; and the free tier
    prices.py       `load_prices(region)` -> Prices
    usage.py        Usage: how much of each item, and how that is known
    bill.py         `bill(usage, prices)` -> Bill: a line per item and tier, and the total

Quantities and money are Decimal, and nothing is rounded before it is shown.
"""
