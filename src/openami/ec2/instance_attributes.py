"""One attribute of an instance at a time, its metadata options, its CPU credits."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from openami.actions import instances
from openami.actions.instance import attributes as instance_attributes
from openami.actions.instance.attributes import AttributeChange
from openami.actions.instances import DescribedInstance
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    UnsupportedOperation,
)
from openami.domain.filter import Page
from openami.domain.ids import parse_instance_id, parse_security_group_id
from openami.ec2 import instance_shapes
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.ec2.request import page, token_after
from openami.ec2.run_instances import (
    checked_user_data,
    metadata_change,
    shutdown_behavior,
    user_data_of,
)
from openami.services import Services

Shape = dict[str, Any]

_READ: Final[Mapping[str, Callable[[DescribedInstance], Shape]]] = {
    "instanceType": lambda each: {"InstanceType": _value(each.instance.instance_type)},
    "kernel": lambda _: {},
    "ramdisk": lambda _: {},
    "userData": lambda each: {"UserData": _user_data(each.instance.user_data)},
    "disableApiTermination": lambda each: {
        "DisableApiTermination": _value(each.instance.disable_api_termination)
    },
    "disableApiStop": lambda each: {"DisableApiStop": _value(each.instance.disable_api_stop)},
    "instanceInitiatedShutdownBehavior": lambda each: {
        "InstanceInitiatedShutdownBehavior": _value(each.instance.shutdown_behavior)
    },
    "rootDeviceName": lambda each: {"RootDeviceName": _value(each.instance.root_device_name)},
    "blockDeviceMapping": lambda each: {
        "BlockDeviceMappings": instance_shapes.instance(each)["BlockDeviceMappings"]
    },
    "productCodes": lambda _: {"ProductCodes": []},
    "sourceDestCheck": lambda each: {"SourceDestCheck": _value(each.instance.source_dest_check)},
    "groupSet": lambda each: {"Groups": instance_shapes.groups(each.instance, each.group_names)},
    "ebsOptimized": lambda each: {"EbsOptimized": _value(each.instance.ebs_optimized)},
    "sriovNetSupport": lambda _: {},
    "enaSupport": lambda each: {"EnaSupport": _value(each.instance.ena_support)},
    "enclaveOptions": lambda _: {"EnclaveOptions": {"Enabled": False}},
}


def _value(of: object) -> Shape:
    return {"Value": of}


def _user_data(raw: bytes | None) -> Shape:
    return {} if raw is None else {"Value": base64.b64encode(raw).decode()}


def describe_instance_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    instance_id = parse_instance_id(request["InstanceId"])
    name = request["Attribute"]
    if name not in _READ:
        raise InvalidParameterValue(
            f"Value ({name}) for parameter attribute is invalid. Unknown attribute."
        )
    found = instances.describe_instances(svc, caller, [instance_id], (), Page())
    return {"InstanceId": instance_id, **_READ[name](found[0])}


# Attribute=…&Value=… is the old spelling of a structure with the member Value.
_OLD_SPELLING: Final[Mapping[str, str]] = {
    "instanceType": "InstanceType",
    "userData": "UserData",
    "disableApiTermination": "DisableApiTermination",
    "disableApiStop": "DisableApiStop",
    "instanceInitiatedShutdownBehavior": "InstanceInitiatedShutdownBehavior",
    "sourceDestCheck": "SourceDestCheck",
    "ebsOptimized": "EbsOptimized",
    "enaSupport": "EnaSupport",
}
_BOOLEANS: Final = frozenset(
    {"disableApiTermination", "disableApiStop", "sourceDestCheck", "ebsOptimized", "enaSupport"}
)


def modify_instance_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    instance_id = parse_instance_id(request["InstanceId"])
    change = attribute_change(_in_new_spelling(request))
    instance_attributes.modify_instance_attribute(svc, caller, instance_id, change)
    return {}


def _in_new_spelling(request: Request) -> Request:
    name = request.get("Attribute")
    if name is None or "Value" not in request:
        if name is not None and name not in ("blockDeviceMapping", "groupSet"):
            raise MissingParameter("value")
        return request
    if name not in _OLD_SPELLING:
        raise EC2Error.of(
            "InvalidParameterCombination", f"The attribute '{name}' cannot be modified by value"
        )
    value: Any = request["Value"]
    if name in _BOOLEANS:
        if value.lower() not in ("true", "false"):
            raise InvalidParameterValue(f"Value ({value}) for parameter value is invalid.")
        value = value.lower() == "true"
    elif name == "userData":
        value = user_data_of(value) or b""
    return {**request, _OLD_SPELLING[name]: {"Value": value}}


_CHANGES: Final = (
    *_OLD_SPELLING.values(),
    "Groups",
    "BlockDeviceMappings",
)


def attribute_change(request: Request) -> AttributeChange:
    """Exactly one change, as EC2 wants it."""
    given = [name for name in _CHANGES if name in request]
    if not given:
        raise InvalidParameterCombination("No attributes specified.")
    if len(given) > 1:
        raise InvalidParameterCombination(
            f"Fields for multiple attribute types specified: {', '.join(given)}"
        )
    for name in _OLD_SPELLING.values():
        if name in request:
            only(request[name], f"{name}.", {"Value"})
            if "Value" not in request[name]:
                raise MissingParameter(f"{name}.Value")
    behavior = _member(request, "InstanceInitiatedShutdownBehavior")
    user_data = _member(request, "UserData")
    return AttributeChange(
        instance_type=_member(request, "InstanceType"),
        user_data=None if user_data is None else checked_user_data(user_data),
        disable_api_termination=_member(request, "DisableApiTermination"),
        disable_api_stop=_member(request, "DisableApiStop"),
        shutdown_behavior=None if behavior is None else shutdown_behavior(behavior),
        source_dest_check=_member(request, "SourceDestCheck"),
        ebs_optimized=_member(request, "EbsOptimized"),
        ena_support=_member(request, "EnaSupport"),
        security_group_ids=(
            tuple(map(parse_security_group_id, request["Groups"])) if "Groups" in request else None
        ),
        delete_on_termination=tuple(map(_flag, request.get("BlockDeviceMappings", ()))),
    )


def _member(request: Request, name: str) -> Any:
    return request.get(name, {}).get("Value")


def _flag(raw: Mapping[str, Any]) -> tuple[str, bool]:
    only(raw, "BlockDeviceMapping.", {"DeviceName", "Ebs"})
    ebs = raw.get("Ebs", {})
    only(ebs, "BlockDeviceMapping.Ebs.", {"DeleteOnTermination"})
    if "DeleteOnTermination" not in ebs:
        raise UnsupportedOperation("Only DeleteOnTermination of a block device can be modified")
    return raw.get("DeviceName", ""), ebs["DeleteOnTermination"]


def modify_instance_metadata_options(svc: Services, caller: Caller, request: Request) -> Result:
    instance_id = parse_instance_id(request["InstanceId"])
    options = {
        name: value for name, value in request.items() if name not in ("InstanceId", "DryRun")
    }
    change = metadata_change(options, "")
    instance_attributes.modify_instance_metadata_options(svc, caller, instance_id, change)
    found = instances.describe_instances(svc, caller, [instance_id], (), Page())
    return {
        "InstanceId": instance_id,
        "InstanceMetadataOptions": instance_shapes.metadata_options(found[0].instance),
    }


def describe_credits(svc: Services, caller: Caller, request: Request) -> Result:
    ids = [parse_instance_id(text) for text in request.get("InstanceIds", ())]
    asked = page(request, 5, 1000, ids="InstanceIds")
    found = instance_attributes.instance_credits(svc, caller, ids)
    shown = [each for each in found if asked.after is None or each[0] > asked.after]
    token: Shape = {}
    if asked.limit is not None and len(shown) > asked.limit:
        shown = shown[: asked.limit]
        token = {"NextToken": token_after(shown[-1][0])}
    return {
        "InstanceCreditSpecifications": [
            {"InstanceId": instance_id, "CpuCredits": kind} for instance_id, kind in shown
        ],
        **token,
    }


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeInstanceAttribute": operation(describe_instance_attribute, "InstanceId", "Attribute"),
    "ModifyInstanceAttribute": operation(
        modify_instance_attribute,
        *("InstanceId", "Attribute", "Value", *_CHANGES),
        partly="one network interface; kernel, ramdisk and sriovNetSupport cannot be changed",
    ),
    "ModifyInstanceMetadataOptions": operation(
        modify_instance_metadata_options,
        *("InstanceId", "HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint"),
        *("HttpProtocolIpv6", "InstanceMetadataTags"),
    ),
    "DescribeInstanceCreditSpecifications": operation(
        describe_credits, "InstanceIds", "MaxResults", "NextToken"
    ),
}
