"""The app that made the sample: `cdk synth` of this, with the versions that README.md names."""

import aws_cdk as cdk
from aws_cdk import aws_apigateway, aws_dynamodb, aws_lambda, aws_s3_assets, aws_sqs
from aws_cdk import aws_lambda_event_sources as sources
from constructs import Construct


class ShopStack(cdk.Stack):
    def __init__(self, scope: Construct, name: str, **options) -> None:
        super().__init__(scope, name, **options)
        greeting = cdk.CfnParameter(self, "Greeting", default="hello")
        table = aws_dynamodb.Table(
            self,
            "Orders",
            partition_key=aws_dynamodb.Attribute(name="id", type=aws_dynamodb.AttributeType.STRING),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        layer = aws_lambda.LayerVersion(
            self,
            "Words",
            code=aws_lambda.Code.from_asset("layer"),
            compatible_runtimes=[aws_lambda.Runtime.PYTHON_3_12],
        )
        function = aws_lambda.Function(
            self,
            "OrderFunction",
            runtime=aws_lambda.Runtime.PYTHON_3_12,
            handler="orders.handler",
            code=aws_lambda.Code.from_asset("shop"),
            memory_size=256,
            timeout=cdk.Duration.seconds(10),
            layers=[layer],
            environment={"TABLE": table.table_name, "GREETING": greeting.value_as_string},
        )
        table.grant_read_write_data(function)
        # A file of the app's that no function's code is: only the list of assets tells that it must be uploaded.
        prices = aws_s3_assets.Asset(self, "Prices", path="prices.json")
        prices.grant_read(function)
        function.add_environment("PRICES_BUCKET", prices.s3_bucket_name)
        function.add_environment("PRICES_KEY", prices.s3_object_key)
        queue = aws_sqs.Queue(self, "Paid")
        function.add_event_source(sources.SqsEventSource(queue, batch_size=5))
        aws_apigateway.LambdaRestApi(self, "Api", handler=function.add_alias("live"))
        cdk.CfnOutput(self, "FunctionName", value=function.function_name)


class OtherStack(cdk.Stack):
    def __init__(self, scope: Construct, name: str, **options) -> None:
        super().__init__(scope, name, **options)
        aws_lambda.Function(
            self,
            "Inline",
            runtime=aws_lambda.Runtime.PYTHON_3_12,
            handler="index.handler",
            code=aws_lambda.Code.from_inline("def handler(event, context):\n    return 'inline'\n"),
        )


app = cdk.App(analytics_reporting=False, tree_metadata=False)
ShopStack(app, "Shop")
OtherStack(app, "Other")
app.synth()
