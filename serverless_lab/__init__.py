"""serverless-lab: what will cold starts do to my users and my bill, before I ship?

The nouns, and where they live:

* a **scenario** states arrivals (`scenario`), a **target** is where they go (`targets`);
* **deploy** turns a SAM template into a CloudFormation stack on a target;
* the **emulator** is the embedded target: MiniStack for the AWS services, our own Lambda plane for execution;
* **load** sends a scenario with Locust, open model, and leaves one row per request;
* **report_line** is the grammar of REPORT lines, **coldstarts** what they say;
* **project** remembers the last deployment and the last run in `.lab/`;
* `cli` knows everyone and nobody knows `cli`.
"""

__version__ = "0.1.0"
