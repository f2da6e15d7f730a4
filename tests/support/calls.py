"""Call an EC2 operation as its door does, without HTTP; answers must be as the model says."""

from typing import Any

import pytest

from openami.catalog import images, snapshots
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.ec2.operations import OPERATIONS
from openami.services import Services
from support.builders import IMAGE, a_caller, a_snapshot, an_image
from support.model_check import held


def call(svc: Services, operation: str, caller: Caller | None = None, **request: Any) -> Any:
    return held("ec2", operation, OPERATIONS[operation](svc, caller or a_caller(), request))


def refused(svc: Services, operation: str, caller: Caller | None = None, **request: Any) -> str:
    """The code of the refusal."""
    with pytest.raises(EC2Error) as caught:
        call(svc, operation, caller, **request)
    return caught.value.code


def add_image(svc: Services, **but: Any) -> None:
    """An image that anybody of the account can launch, with its snapshot."""
    with svc.catalog.begin() as tx:
        if snapshots.fetch_any(tx, a_snapshot().id) is None:
            snapshots.add(tx, a_snapshot())
        images.add(tx, an_image(**but))


def launch(svc: Services, caller: Caller | None = None, **more: Any) -> Any:
    """RunInstances of IMAGE; the reservation."""
    asked = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | more
    return call(svc, "RunInstances", caller, **asked)


def launched(svc: Services, caller: Caller | None = None, **more: Any) -> str:
    """The id of one new instance."""
    return launch(svc, caller, **more)["Instances"][0]["InstanceId"]


def instance(svc: Services, instance_id: str, caller: Caller | None = None) -> Any:
    found = call(svc, "DescribeInstances", caller, InstanceIds=[instance_id])
    return found["Reservations"][0]["Instances"][0]


def state(svc: Services, instance_id: str) -> str:
    return str(instance(svc, instance_id)["State"]["Name"])
