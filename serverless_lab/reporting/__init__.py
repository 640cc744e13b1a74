"""How results look; it knows the results and nothing of how they came to be.

words.py has sentences and cells for all of these:
    tables.py, live.py   a terminal; live.py while a load runs
    markdown.py          pull requests and step summaries
    junit.py             gates for CI services
    document.py          an HTML page, made of sections.py; markup.py escapes, figures.py and distributions.py are its
                         charts, drawing.py the one module that knows the charting library, axes.py and points.py its
                         arithmetic; page.py is the frame of every page
    comparison*.py       the same for a comparison: words and tables, charts, page
"""
