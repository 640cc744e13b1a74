import json
import os

import iniconfig
import shouting


def handler(event, context):
    settings = iniconfig.IniConfig("", data=f"[words]\ngreeting = {os.environ['GREETING']}\n")
    return {"statusCode": 200, "body": json.dumps({"message": shouting.loud(settings["words"]["greeting"])})}


def bye(event, context):
    return "bye"
