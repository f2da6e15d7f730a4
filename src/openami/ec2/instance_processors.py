"""The processors of an instance, and the credits by which it uses them."""

from collections.abc import Mapping
from typing import Any, Final

from openami.actions.instance import options as instance_options
from openami.actions.instance.options import CreditChange
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    InvalidParameterValue,
    MissingParameter,
    UnsupportedOperation,
)
from openami.domain.ids import parse_instance_id
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.ec2.request import client_token
from openami.ec2.run_instances import CPU_CREDITS
from openami.services import Services

Shape = dict[str, Any]


def modify_cpu_options(svc: Services, caller: Caller, request: Request) -> Result:
    if request.get("NestedVirtualization", "disabled") != "disabled":
        raise UnsupportedOperation("Nested virtualization is not supported by openami")
    instance_id = parse_instance_id(request["InstanceId"])
    if not request.keys() & {"CoreCount", "ThreadsPerCore", "NestedVirtualization"}:
        raise MissingParameter("CoreCount or ThreadsPerCore")
    options = instance_options.set_cpu_options(
        svc, caller, instance_id, request.get("CoreCount"), request.get("ThreadsPerCore")
    )
    return {
        "InstanceId": instance_id,
        "CoreCount": options.core_count,
        "ThreadsPerCore": options.threads_per_core,
    }


def modify_credits(svc: Services, caller: Caller, request: Request) -> Result:
    changes = [_change(each) for each in request["InstanceCreditSpecifications"]]
    token = client_token("ModifyInstanceCreditSpecification", request)
    done = instance_options.set_credits(svc, caller, changes, token)
    return {
        "SuccessfulInstanceCreditSpecifications": [
            {"InstanceId": each.instance_id} for each in done if each.refusal is None
        ],
        "UnsuccessfulInstanceCreditSpecifications": [
            _unsuccessful(each.instance_id, each.refusal)
            for each in done
            if each.refusal is not None
        ],
    }


def _change(raw: Mapping[str, Any]) -> CreditChange:
    only(raw, "InstanceCreditSpecification.", {"InstanceId", "CpuCredits"})
    for name in ("InstanceId", "CpuCredits"):
        if not raw.get(name):
            raise MissingParameter(f"InstanceCreditSpecification.{name}")
    if raw["CpuCredits"] not in CPU_CREDITS:
        raise InvalidParameterValue(
            f"Value ({raw['CpuCredits']}) for parameter CpuCredits is invalid."
            f" It must be one of {', '.join(CPU_CREDITS)}."
        )
    return CreditChange(instance_id=raw["InstanceId"], cpu_credits=raw["CpuCredits"])


def _unsuccessful(instance_id: str, refusal: EC2Error) -> Shape:
    return {"InstanceId": instance_id, "Error": {"Code": refusal.code, "Message": str(refusal)}}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "ModifyInstanceCpuOptions": operation(
        modify_cpu_options,
        *("InstanceId", "CoreCount", "ThreadsPerCore", "NestedVirtualization"),
        partly="no nested virtualization",
    ),
    "ModifyInstanceCreditSpecification": operation(
        modify_credits, "InstanceCreditSpecifications", "ClientToken"
    ),
}
