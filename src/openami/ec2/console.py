"""GetConsoleOutput and GetConsoleScreenshot."""

import base64
from collections.abc import Mapping
from typing import Final

from openami.actions import console
from openami.domain.caller import Caller
from openami.domain.ids import parse_instance_id
from openami.ec2.operation import Operation, Request, Result, operation
from openami.services import Services


def get_console_output(svc: Services, caller: Caller, request: Request) -> Result:
    instance_id = parse_instance_id(request["InstanceId"])
    output = console.get_console_output(svc, caller, instance_id)
    return {
        "InstanceId": instance_id,
        "Timestamp": svc.clock.now(),
        "Output": base64.b64encode(output).decode(),
    }


def get_console_screenshot(svc: Services, caller: Caller, request: Request) -> Result:
    instance_id = parse_instance_id(request["InstanceId"])
    picture = console.get_console_screenshot(svc, caller, instance_id)
    return {"InstanceId": instance_id, "ImageData": base64.b64encode(picture).decode()}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "GetConsoleOutput": operation(get_console_output, "InstanceId", "Latest"),
    "GetConsoleScreenshot": operation(get_console_screenshot, "InstanceId"),
}
