"""What no account has here, so that its listings are empty: and that is the whole truth.

Fast launch is for Windows images, ClassicLink ended with EC2-Classic in 2022, and product codes
are AWS Marketplace's.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from openami.domain.caller import Caller
from openami.domain.errors import MissingParameter
from openami.domain.filter import selected
from openami.domain.ids import parse_image_id, parse_instance_id
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, page
from openami.services import Services


def _nothing_of(*names: str) -> Mapping[str, Callable[[str], Iterable[str]]]:
    """A table of the filters that may be used on nothing."""
    return dict.fromkeys(names, lambda _: ())


_FAST_LAUNCHES: Final = _nothing_of("resource-type", "owner-id", "state")
_LINKS: Final = _nothing_of("group-id", "instance-id", "vpc-id")


def describe_fast_launch_images(svc: Services, caller: Caller, request: Request) -> Result:
    del svc, caller
    page(request, 0, 200, ids="ImageIds")
    for text in request.get("ImageIds", ()):
        parse_image_id(text)
    return {"FastLaunchImages": selected((), filters(request), _FAST_LAUNCHES)}


def describe_classic_links(svc: Services, caller: Caller, request: Request) -> Result:
    del svc, caller
    page(request, 5, 1000, ids="InstanceIds")
    for text in request.get("InstanceIds", ()):
        parse_instance_id(text)
    return {"Instances": selected((), filters(request), _LINKS, lambda _: {})}


def confirm_product_instance(svc: Services, caller: Caller, request: Request) -> Result:
    del svc, caller
    parse_instance_id(request["InstanceId"])
    if not request["ProductCode"]:
        raise MissingParameter("ProductCode")
    return {"Return": False}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeFastLaunchImages": operation(
        describe_fast_launch_images,
        *("ImageIds", "Filters", "MaxResults", "NextToken"),
        partly="no Windows images: the answer is empty",
    ),
    "DescribeClassicLinkInstances": operation(
        describe_classic_links,
        *("InstanceIds", "Filters", "MaxResults", "NextToken"),
        partly="no EC2-Classic: the answer is empty",
    ),
    "ConfirmProductInstance": operation(
        confirm_product_instance,
        *("InstanceId", "ProductCode"),
        partly="no product codes: the answer is no",
    ),
}
