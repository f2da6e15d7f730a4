"""The parameter store's operations."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions import parameters as actions
from openami.actions.parameters import Condition
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.filter import Page
from openami.domain.parameter import TEXT_TYPE, Parameter, ParameterType, Pointer, invalid
from openami.domain.tag import checked_tags
from openami.doors import paging
from openami.doors.operation import Operation, Request, Result, operation
from openami.services import Services

TIER: Final = "Standard"


def put_parameter(svc: Services, caller: Caller, request: Request) -> Result:
    if request.get("Type") == "SecureString":
        raise EC2Error.of(
            "UnsupportedParameterType", "openami keeps no SecureString: it does not encrypt yet."
        )
    if request.get("Tier") == "Advanced":
        raise invalid("Advanced parameters are not supported by openami.")
    asked = actions.Put(
        name=request["Name"],
        value=request["Value"],
        kind=ParameterType(request["Type"]) if "Type" in request else None,
        data_type=request.get("DataType") or TEXT_TYPE,
        description=request.get("Description"),
        allowed_pattern=request.get("AllowedPattern"),
        overwrite=request.get("Overwrite", False),
        tags=_tags(request),
    )
    return {"Version": actions.put_parameter(svc, caller, asked).version, "Tier": TIER}


def get_parameter(svc: Services, caller: Caller, request: Request) -> Result:
    found, pointer = actions.get_parameter(svc, caller, request["Name"])
    return {"Parameter": _value(found, pointer)}


def get_parameters(svc: Services, caller: Caller, request: Request) -> Result:
    found, missing = actions.get_parameters(svc, caller, request["Names"])
    return {
        "Parameters": [_value(parameter, pointer) for parameter, pointer in found],
        "InvalidParameters": missing,
    }


def get_parameters_by_path(svc: Services, caller: Caller, request: Request) -> Result:
    asked = _page(request, 10)
    found = actions.get_parameters_by_path(
        svc,
        caller,
        request["Path"],
        request.get("Recursive", False),
        _conditions(request, ("Type", "KeyId", "Label")),
        paging.one_more(asked),
    )
    shown, token = paging.paged(found, asked, "name")
    return {"Parameters": [_value(each) for each in shown], **token}


def describe_parameters(svc: Services, caller: Caller, request: Request) -> Result:
    if request.get("Shared"):
        return {"Parameters": []}  # sharing is for advanced parameters, and there are none
    asked = _page(request, 50)
    allowed = ("Name", "Type", "KeyId", "Path", "Tier", "DataType", "tag")
    conditions = [*_conditions(request, allowed), *_old_conditions(request)]
    found = actions.describe_parameters(svc, caller, conditions, paging.one_more(asked))
    shown, token = paging.paged(found, asked, "name")
    return {"Parameters": [{**_about(each), "ARN": each.arn} for each in shown], **token}


def get_parameter_history(svc: Services, caller: Caller, request: Request) -> Result:
    asked = _page(request, 50)
    if asked.after is not None and not asked.after.isdecimal():
        raise _bad_token()
    found = actions.get_parameter_history(svc, caller, request["Name"], paging.one_more(asked))
    shown, token = paging.paged(found, asked, "version")
    return {
        "Parameters": [
            {**_about(each), "Value": each.value, "Labels": list(each.labels)} for each in shown
        ],
        **token,
    }


def delete_parameter(svc: Services, caller: Caller, request: Request) -> Result:
    actions.delete_parameter(svc, caller, request["Name"])
    return {}


def delete_parameters(svc: Services, caller: Caller, request: Request) -> Result:
    deleted, missing = actions.delete_parameters(svc, caller, request["Names"])
    return {"DeletedParameters": deleted, "InvalidParameters": missing}


def label_parameter_version(svc: Services, caller: Caller, request: Request) -> Result:
    version, wrong = actions.label_parameter_version(
        svc, caller, request["Name"], request.get("ParameterVersion"), request["Labels"]
    )
    return {"InvalidLabels": wrong, "ParameterVersion": version}


def unlabel_parameter_version(svc: Services, caller: Caller, request: Request) -> Result:
    removed, wrong = actions.unlabel_parameter_version(
        svc, caller, request["Name"], request["ParameterVersion"], request["Labels"]
    )
    return {"RemovedLabels": removed, "InvalidLabels": wrong}


def add_tags_to_resource(svc: Services, caller: Caller, request: Request) -> Result:
    actions.add_tags(svc, caller, _resource(request), _tags(request))
    return {}


def remove_tags_from_resource(svc: Services, caller: Caller, request: Request) -> Result:
    actions.remove_tags(svc, caller, _resource(request), request["TagKeys"])
    return {}


def list_tags_for_resource(svc: Services, caller: Caller, request: Request) -> Result:
    tags = actions.list_tags(svc, caller, _resource(request))
    return {"TagList": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _resource(request: Request) -> str:
    if request["ResourceType"] != "Parameter":
        raise EC2Error.of("InvalidResourceType", "openami has no such resources.")
    return str(request["ResourceId"])


def _tags(request: Request) -> Mapping[str, str]:
    return checked_tags((tag["Key"], tag["Value"]) for tag in request.get("Tags", ()))


def _value(found: Parameter, pointer: Pointer | None = None) -> dict[str, Any]:
    """A parameter with its value, as GetParameter tells it."""
    answer: dict[str, Any] = {
        "Name": found.name,
        "Type": found.type,
        "Value": found.value,
        "Version": found.version,
        "LastModifiedDate": found.modified_at,
        "ARN": found.arn,
        "DataType": found.data_type,
    }
    if pointer is not None and pointer.selector:
        answer["Selector"] = f":{pointer.selector}"
    return answer


def _about(found: Parameter) -> dict[str, Any]:
    """What DescribeParameters and GetParameterHistory tell of one version."""
    answer: dict[str, Any] = {
        "Name": found.name,
        "Type": found.type,
        "LastModifiedDate": found.modified_at,
        "LastModifiedUser": f"arn:aws:iam::{found.owner}:root",
        "Description": found.description,
        "AllowedPattern": found.allowed_pattern,
        "Version": found.version,
        "Tier": TIER,
        "Policies": [],
        "DataType": found.data_type,
    }
    return {name: value for name, value in answer.items() if value is not None}


_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Name": ("Equals", "BeginsWith", "Contains"),
    "Path": ("OneLevel", "Recursive"),
}
"""By the filter's key; the first is meant when none is given. All others compare by Equals."""


def _conditions(request: Request, allowed: Sequence[str]) -> list[Condition]:
    found: list[Condition] = []
    for each in request.get("ParameterFilters", ()):
        key = str(each["Key"])
        options = _OPTIONS.get(key, ("Equals", "BeginsWith", "Contains"))
        option = each.get("Option", options[0])
        if key.partition(":")[0] not in allowed:
            raise EC2Error.of(
                "InvalidFilterKey",
                f"The following filter key is not valid: {key}."
                f" Valid filter keys include: [{', '.join(allowed)}].",
            )
        if option not in options:
            raise EC2Error.of(
                "InvalidFilterOption",
                f"The following filter option is not valid: {option}."
                f" Valid options include: [{', '.join(options)}].",
            )
        if any(other.key == key for other in found):
            raise EC2Error.of("InvalidFilterKey", f"The filter key {key} is given twice.")
        values = tuple(each.get("Values", ()))
        if not values and not key.startswith("tag:"):
            raise EC2Error.of("InvalidFilterValue", f"The filter {key} has no value.")
        found.append(Condition(key=key, option=option, values=values))
    return found


def _old_conditions(request: Request) -> list[Condition]:
    """`Filters`, which ParameterFilters replace."""
    if request.get("Filters") and request.get("ParameterFilters"):
        raise invalid("Filters and ParameterFilters can't be used together.")
    return [
        Condition(
            key=each["Key"],
            option="BeginsWith" if each["Key"] == "Name" else "Equals",
            values=tuple(each["Values"]),
        )
        for each in request.get("Filters", ())
    ]


def _page(request: Request, greatest: int) -> Page:
    try:
        return paging.page(request, default=greatest)
    except InvalidParameterValue as bad:
        raise _bad_token() from bad


def _bad_token() -> EC2Error:
    return EC2Error.of("InvalidNextToken", "The specified token isn't valid.")


OPERATIONS: Final[Mapping[str, Operation]] = {
    "PutParameter": operation(
        put_parameter,
        *("Name", "Description", "Value", "Type", "Overwrite", "AllowedPattern", "Tags"),
        *("Tier", "DataType"),
        partly="no SecureString, no advanced parameters and so no policies",
    ),
    "GetParameter": operation(get_parameter, "Name", "WithDecryption"),
    "GetParameters": operation(get_parameters, "Names", "WithDecryption"),
    "GetParametersByPath": operation(
        get_parameters_by_path,
        *("Path", "Recursive", "ParameterFilters", "WithDecryption", "MaxResults", "NextToken"),
    ),
    "DescribeParameters": operation(
        describe_parameters,
        *("Filters", "ParameterFilters", "MaxResults", "NextToken", "Shared"),
    ),
    "GetParameterHistory": operation(
        get_parameter_history, "Name", "WithDecryption", "MaxResults", "NextToken"
    ),
    "DeleteParameter": operation(delete_parameter, "Name"),
    "DeleteParameters": operation(delete_parameters, "Names"),
    "LabelParameterVersion": operation(
        label_parameter_version, "Name", "ParameterVersion", "Labels"
    ),
    "UnlabelParameterVersion": operation(
        unlabel_parameter_version, "Name", "ParameterVersion", "Labels"
    ),
    "AddTagsToResource": operation(
        add_tags_to_resource, "ResourceType", "ResourceId", "Tags", partly="parameters only"
    ),
    "RemoveTagsFromResource": operation(
        remove_tags_from_resource, "ResourceType", "ResourceId", "TagKeys", partly="parameters only"
    ),
    "ListTagsForResource": operation(
        list_tags_for_resource, "ResourceType", "ResourceId", partly="parameters only"
    ),
}
