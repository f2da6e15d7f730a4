"""Deprecation, DisableImage and EnableImage, deregistration protection."""

from collections.abc import Callable, Mapping
from typing import Final

from openami.actions import image_retirement as actions
from openami.domain.caller import Caller
from openami.domain.ids import ImageId, parse_image_id
from openami.ec2.operation import Handler, Operation, Request, Result, operation
from openami.services import Services


def enable_image_deprecation(svc: Services, caller: Caller, request: Request) -> Result:
    image_id = parse_image_id(request["ImageId"])
    actions.enable_image_deprecation(svc, caller, image_id, request["DeprecateAt"])
    return {"Return": True}


def _of_the_image(action: Callable[[Services, Caller, ImageId], None]) -> Handler:
    """The handler of an operation that is told an image and nothing else."""

    def handler(svc: Services, caller: Caller, request: Request) -> Result:
        action(svc, caller, parse_image_id(request["ImageId"]))
        return {"Return": True}

    return handler


def enable_protection(svc: Services, caller: Caller, request: Request) -> Result:
    image_id = parse_image_id(request["ImageId"])
    with_cooldown = bool(request.get("WithCooldown"))
    image = actions.enable_image_deregistration_protection(svc, caller, image_id, with_cooldown)
    return {"Return": image.deregistration_protection}


def disable_protection(svc: Services, caller: Caller, request: Request) -> Result:
    image_id = parse_image_id(request["ImageId"])
    image = actions.disable_image_deregistration_protection(svc, caller, image_id)
    return {"Return": image.deregistration_protection}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "EnableImageDeprecation": operation(enable_image_deprecation, "ImageId", "DeprecateAt"),
    "DisableImageDeprecation": operation(
        _of_the_image(actions.disable_image_deprecation), "ImageId"
    ),
    "DisableImage": operation(_of_the_image(actions.disable_image), "ImageId"),
    "EnableImage": operation(_of_the_image(actions.enable_image), "ImageId"),
    "EnableImageDeregistrationProtection": operation(enable_protection, "ImageId", "WithCooldown"),
    "DisableImageDeregistrationProtection": operation(disable_protection, "ImageId"),
}
