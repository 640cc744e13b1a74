"""Every AWS number we rely on: one named constant, its unit, its grade and its source.

Grades: `documented` (AWS says so), `measured` (by whom), `assumed` (and what would change our mind).
All pages were read in November 2026.
"""

# Lambda: time ------------------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
INIT_TIMEOUT_MS = 10_000  # on-demand; then init is repeated in the Invoke phase, under the function timeout

PROVISIONED_INIT_TIMEOUT_MS = 900_000  # of provisioned concurrency; the same page

# documented: https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
FUNCTION_TIMEOUT_DEFAULT_S = 3
FUNCTION_TIMEOUT_MAX_S = 900

# assumed: AWS publishes no idle lifetime. Third parties measured 5 to 60 minutes between 2017 and 2021
# (mikhail.io/serverless/coldstarts/aws/intervals/). A log with longer gaps served warm would change our mind.
IDLE_LIFETIME_MS = 600_000

# Lambda: concurrency -----------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
ACCOUNT_CONCURRENCY = 1_000  # per Region; new accounts may have less
UNRESERVED_CONCURRENCY_MIN = 100  # stays for functions without reserved or provisioned concurrency
REQUESTS_PER_SECOND_PER_CONCURRENCY = 10  # of the account, of a function's reserved and of provisioned concurrency

# documented: https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html (refilled continuously, not accrued)
SCALING_RATE_ENVIRONMENTS = 1_000  # per function, every SCALING_RATE_PERIOD_MS
SCALING_RATE_PERIOD_MS = 10_000

# measured: https://github.com/localstack/localstack, tests/aws/services/lambda_/test_lambda.py, on AWS: six log streams
# of an init that always fails, for one provisioned environment
PROVISIONED_INIT_ATTEMPTS = 6

# recorded: the `Retry-After` header of a 429 in https://github.com/localstack/localstack and botocore's model name it;
# assumed: its value
RETRY_AFTER_S = 1

# Lambda: size ------------------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MEMORY_DEFAULT_MB = 128
# documented: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (function memory allocation)
MEMORY_MAX_MB = 10_240
PAYLOAD_MAX_BYTES = 6 * 1024 * 1024  # request and response of a synchronous invoke, each
DEPLOYMENT_PACKAGE_UNZIPPED_MAX_BYTES = 250 * 1024 * 1024  # code and layers together
PAYLOAD_ASYNC_MAX_BYTES = 1024 * 1024  # request of an asynchronous invoke
PROCESSES_AND_THREADS_MAX = 1_024
FILE_DESCRIPTORS_MAX = 1_024
LOG_EVENT_MAX_BYTES = 256 * 1024  # of a line that a function writes; longer ones are cut

# documented: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html (the size of a
# batch is its messages and 26 bytes for each); assumed: ingestion is billed by the same size
LOG_EVENT_OVERHEAD_BYTES = 26

# documented: an example of https://aws.amazon.com/cloudwatch/pricing/ has 30 GB of ingested logs stored as 6 GB;
# assumed: that yours compress as well
LOG_STORED_SHARE = 0.2

# measured: the message of Function.ResponseSizeTooLarge names it, and just so many bytes pass
# (https://zaccharles.medium.com/deep-dive-lambdas-response-payload-size-limit-8aedba9530ed)
RESPONSE_MAX_BYTES = 6_291_556

# assumed: Lambda too drops what an environment writes faster than it is stored (platform.logsDropped), at a size that
# is not published. What an invocation writes beyond this is dropped and counted.
LOG_BUFFER_MAX_BYTES = 16 * 1024 * 1024

# documented: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_ResponseSyntax
LOG_RESULT_MAX_BYTES = 4 * 1024  # LogType=Tail

# documented: https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html
EPHEMERAL_STORAGE_DEFAULT_MB = 512  # /tmp
EPHEMERAL_STORAGE_MAX_MB = 10_240

# documented: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LAYERS_MAX = 5
ENVIRONMENT_VARIABLES_MAX_BYTES = 4 * 1024  # all of them together

# documented: https://aws.amazon.com/lambda/pricing/ (provisioned concurrency is billed from when it is enabled until it
# is disabled, rounded up to five minutes)
PROVISIONED_BILLING_PERIOD_S = 300

# Lambda: CPU -------------------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEMORY_PER_VCPU_MB = 1_769  # CPU is in proportion to memory; a single thread never gets more than one vCPU

# measured: https://lucvandonkersgoed.com/2022/04/11/bitesizedserverless (two unthrottled vCPUs during on-demand init,
# even at the lowest memory); Datadog's lambda-extension pull request 700 saw none for provisioned concurrency
INIT_VCPUS = 2.0

# What AWS's services take to answer a function in the same Region, put in place of the emulator's own time. Ms.
# assumed: typical single-digit DynamoDB and low double-digit S3 latencies; a trace of your own would change them.
SERVICE_LATENCY_MS = {
    "dynamodb": 4.0,
    "s3": 18.0,
    "sqs": 8.0,
    "ssm": 10.0,
    "events": 10.0,
    "lambda": 6.0,
    "sns": 10.0,
}
SERVICE_LATENCY_DEFAULT_MS = 10.0

# Asynchronous invocations -------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
ASYNC_RETRY_DELAYS_MS = (60_000.0, 120_000.0)  # after a function error: before the first retry, before the second
ASYNC_REFUSED_RETRY_FIRST_MS = 1_000.0  # after a throttle or a system error; grows exponentially
ASYNC_REFUSED_RETRY_MAX_MS = 300_000.0
# assumed: "increases exponentially" says no factor; a published sequence of attempts would change it
ASYNC_REFUSED_RETRY_FACTOR = 2.0

# documented: https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
MAXIMUM_RETRY_ATTEMPTS_DEFAULT = 2
MAXIMUM_RETRY_ATTEMPTS_RANGE = (0, 2)
MAXIMUM_EVENT_AGE_DEFAULT_S = 21_600
MAXIMUM_EVENT_AGE_RANGE_S = (60, 21_600)

# documented: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq
DEAD_LETTER_ERROR_MESSAGE_MAX_BYTES = 1_024

# Event source mappings ---------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html (a base rate of 4 times a second)
STREAM_POLL_PERIOD_MS = 250.0

# documented: https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html
STREAM_BATCH_SIZE_DEFAULT = 100
PARALLELIZATION_FACTOR_MAX = 10

# documented: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html#Streams.DataRetention
DYNAMODB_STREAM_RETENTION_MS = 24 * 3_600_000.0

# assumed: AWS says that a failed batch is tried again, not when. A second apart at first, then less and less often;
# timestamps of the retries of one failing batch would change our mind
STREAM_RETRY_FIRST_MS = 1_000.0
STREAM_RETRY_MAX_MS = 60_000.0

# documented: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html
SQS_BATCH_SIZE_DEFAULT = 10
SQS_RECEIVE_MAX_MESSAGES = 10  # of one ReceiveMessage; larger batches are gathered within a batching window

# documented: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
SQS_CONCURRENCY_FIRST = 5  # batches at once when a queue becomes active
SQS_CONCURRENCY_PER_MINUTE = 300  # more of them while messages are left
SQS_CONCURRENCY_MAX = 1_250

# assumed: a long poll is answered as soon as there is a message, so a message waits about one ReceiveMessage
SQS_POLL_LATENCY_MS = 8.0

# assumed: Lambda offers a throttled batch again until its visibility timeout is over, but does not say how often
SQS_THROTTLED_RETRY_FIRST_MS = 1_000.0

# CloudWatch Logs ---------------------------------------------------------------------------------------------

# documented: https://repost.aws/knowledge-center/cloudwatch-logs-throttling (no increase)
FILTER_LOG_EVENTS_PER_SECOND = 5  # of an account in a Region

# CloudWatch Logs Insights ------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Limit.html
INSIGHTS_LIMIT_DEFAULT = 10_000
INSIGHTS_LIMIT_MAX = 100_000

# documented: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetQueryResults.html
INSIGHTS_PAGE_MAX = 10_000  # rows in one answer; the rest by nextToken

# documented: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
INSIGHTS_LOG_GROUPS_MAX = 50
INSIGHTS_QUERY_MAX_CHARACTERS = 10_000
INSIGHTS_QUERIES_MAX = 100  # at once

# documented: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Stats.html
INSIGHTS_STATS_MAX = 10  # in one query

# documented: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html
INSIGHTS_FIELDS_MAX = 200  # found in one event of JSON

# API Gateway REST --------------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
INTEGRATION_TIMEOUT_DEFAULT_MS = 29_000

# CloudFormation ----------------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
TEMPLATE_BODY_MAX_BYTES = 51_200  # sent in the request; a longer one goes through a bucket
TEMPLATE_IN_BUCKET_MAX_BYTES = 1_000_000
