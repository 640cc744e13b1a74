"""Does as it is told: what the platform must survive, and count."""

import os
import time

print("initialised")
SERVED = []


def handler(event, context):
    wanted = event["pathParameters"]["what"]
    SERVED.append(wanted)
    if wanted == "hang":
        time.sleep(60)
    if wanted == "exit":
        os._exit(3)
    if wanted == "raise":
        raise ValueError("as told")
    return {"statusCode": 200, "body": str(len(SERVED))}
