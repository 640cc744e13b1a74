"""Plugins for LocalStack's own plugin points, so that its control plane runs unmodified without Docker and Java.

LocalStack finds plugins by the entry points of installed distributions. This folder looks like one (`*.dist-info`
beside the package), so having it on LocalStack's PYTHONPATH is all it takes, and nothing of it can be out of date.

* `executor.py` is `localstack.lambda.runtime_executor:process`. Where the Docker executor starts a container, it starts
  `init.py`, which speaks with LocalStack as the init of those containers does (status, invoke, logs, response: see
  github.com/localstack/lambda-runtime-init) and serves the Runtime API to the runtime.
* `start.sh` is what the runtime's process begins as: it notes in a journal that the operating system has started it,
  then becomes the interpreter under awslambdaric. What LocalStack or a report counts is compared with that journal.
* `providers.py` has DynamoDB and its streams answered by moto, which is part of LocalStack; the usual ones need
  DynamoDB Local.

What a container would have and an environment here does not: a file system and a /tmp of its own, limits of memory.
"""
