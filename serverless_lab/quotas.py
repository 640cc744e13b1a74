"""Every AWS number we rely on: one named constant, its unit, its grade and its source.

Grades: `documented` (AWS says so), `measured` (by whom), `assumed` (and what would change our mind).
All pages were read in November 2026.
"""

# Lambda: time ------------------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
INIT_TIMEOUT_MS = 10_000  # on-demand; then init is repeated in the Invoke phase, under the function timeout

# documented: https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
FUNCTION_TIMEOUT_DEFAULT_S = 3
FUNCTION_TIMEOUT_MAX_S = 900

# assumed: AWS publishes no idle lifetime. Third parties measured 5 to 60 minutes between 2017 and 2021
# (mikhail.io/serverless/coldstarts/aws/intervals/). A log with longer gaps served warm would change our mind.
IDLE_LIFETIME_MS = 600_000

# Lambda: concurrency -----------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
ACCOUNT_CONCURRENCY = 1_000  # per Region; new accounts may have less

# Lambda: size ------------------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MEMORY_DEFAULT_MB = 128
PAYLOAD_MAX_BYTES = 6 * 1024 * 1024  # request and response of a synchronous invoke, each
DEPLOYMENT_PACKAGE_UNZIPPED_MAX_BYTES = 250 * 1024 * 1024  # code and layers together
LOG_EVENT_MAX_BYTES = 256 * 1024  # of a line that a function writes; longer ones are cut

# documented: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_ResponseSyntax
LOG_RESULT_MAX_BYTES = 4 * 1024  # LogType=Tail

# API Gateway REST --------------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
INTEGRATION_TIMEOUT_DEFAULT_MS = 29_000
INTEGRATION_TIMEOUT_MIN_MS = 50

# CloudFormation ----------------------------------------------------------------------------------------------

# documented: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
TEMPLATE_BODY_MAX_BYTES = 51_200  # sent in the request; a longer one goes through a bucket
TEMPLATE_IN_BUCKET_MAX_BYTES = 1_000_000
