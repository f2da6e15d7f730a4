"""Launch templates and their versions."""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from openami.actions import instances, parameters
from openami.actions import launch_templates as actions
from openami.actions.launch_templates import Described, DescribedVersion
from openami.domain.caller import Caller
from openami.domain.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
)
from openami.domain.filter import Page, selected
from openami.domain.ids import parse_instance_id
from openami.domain.launch_template import (
    DEFAULT,
    LATEST,
    VERSIONS_MAX,
    Document,
    LaunchTemplate,
    checked_description,
    checked_number,
    checked_version,
)
from openami.ec2 import template_data
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import (
    client_token,
    filters,
    one_more,
    page,
    paged,
    tag_specifications,
)
from openami.ec2.run_instances import template_named
from openami.services import Services

DELETED_AT_ONCE_MAX: Final = 200
_WHICH: Final = ("LaunchTemplateId", "LaunchTemplateName")

Shape = dict[str, Any]


def create_launch_template(svc: Services, caller: Caller, request: Request) -> Result:
    asked = _new_version("CreateLaunchTemplate", request)
    tags = tag_specifications(request, actions.RESOURCE_TYPE).get(actions.RESOURCE_TYPE, {})
    name = request["LaunchTemplateName"]
    made = actions.create_launch_template(svc, caller, name, asked, tags)
    return {"LaunchTemplate": _template(made), **_warning(svc, caller, asked.data)}


def create_launch_template_version(svc: Services, caller: Caller, request: Request) -> Result:
    asked = _new_version("CreateLaunchTemplateVersion", request)
    source = request.get("SourceVersion")
    made = actions.create_launch_template_version(
        svc, caller, template_named(request), checked_version(source) if source else None, asked
    )
    shown = _resolver(svc, caller, request)
    return {
        "LaunchTemplateVersion": _version(made, shown),
        **_warning(svc, caller, made.version.data),
    }


def _new_version(operation_name: str, request: Request) -> actions.NewVersion:
    data = request["LaunchTemplateData"]
    template_data.check(data)
    return actions.NewVersion(
        data=data,
        description=checked_description(request.get("VersionDescription")),
        token=client_token(operation_name, request),
    )


def describe_launch_templates(svc: Services, caller: Caller, request: Request) -> Result:
    ids, names = request.get("LaunchTemplateIds", ()), request.get("LaunchTemplateNames", ())
    if ids and names:
        raise InvalidParameterCombination(
            "Launch templates are asked for by their IDs or by their names, not by both."
        )
    which = [
        *(template_named({"LaunchTemplateId": each}) for each in ids),
        *(template_named({"LaunchTemplateName": each}) for each in names),
    ]
    asked = page(request, 1, 200)
    found = actions.describe_launch_templates(svc, caller, which, filters(request), one_more(asked))
    shown, token = paged(found, asked)
    return {"LaunchTemplates": [_template(each) for each in shown], **token}


def describe_launch_template_versions(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 1, 200)
    found = selected(_versions(svc, caller, request), filters(request), _FILTERS)
    if asked.after is not None:
        found = [each for each in found if each.place > asked.after]
    limit = one_more(asked).limit
    shown, token = paged(found[:limit], asked, "place")
    resolved = _resolver(svc, caller, request)
    return {"LaunchTemplateVersions": [_version(each, resolved) for each in shown], **token}


def _versions(svc: Services, caller: Caller, request: Request) -> list[DescribedVersion]:
    versions = [checked_version(text) for text in request.get("Versions", ())]
    least, most = request.get("MinVersion"), request.get("MaxVersion")
    if versions and (least or most):
        raise InvalidParameterCombination(
            "Versions cannot be used together with MinVersion and MaxVersion."
        )
    if any(request.get(name) for name in _WHICH):
        return actions.describe_versions(
            svc,
            caller,
            template_named(request),
            versions,
            checked_number(least) if least else 1,
            checked_number(most) if most else VERSIONS_MAX * 1000,
        )
    if not versions:
        raise MissingParameter("LaunchTemplateId, LaunchTemplateName or Versions")
    if not {LATEST, DEFAULT}.issuperset(versions):
        raise InvalidParameterValue(
            "Of all launch templates only the versions '$Latest' and '$Default' can be described."
        )
    return actions.describe_versions_of_all(svc, caller, versions)


def modify_launch_template(svc: Services, caller: Caller, request: Request) -> Result:
    if not request.get("DefaultVersion"):
        raise MissingParameter("SetDefaultVersion")
    changed = actions.modify_launch_template(
        svc,
        caller,
        template_named(request),
        checked_version(request["DefaultVersion"]),
        client_token("ModifyLaunchTemplate", request),
    )
    return {"LaunchTemplate": _template(changed)}


def delete_launch_template(svc: Services, caller: Caller, request: Request) -> Result:
    deleted = actions.delete_launch_template(svc, caller, template_named(request))
    return {"LaunchTemplate": _template(deleted)}


def delete_launch_template_versions(svc: Services, caller: Caller, request: Request) -> Result:
    texts = request["Versions"]
    if not texts:
        raise MissingParameter("LaunchTemplateVersion")
    if len(texts) > DELETED_AT_ONCE_MAX:
        raise InvalidParameterValue(
            f"At most {DELETED_AT_ONCE_MAX} versions can be deleted at once."
        )
    numbers = [checked_number(text) for text in texts]
    template, outcome = actions.delete_launch_template_versions(
        svc, caller, template_named(request), numbers
    )
    return {
        "SuccessfullyDeletedLaunchTemplateVersions": [
            _at(template, number) for number, refusal in outcome.items() if refusal is None
        ],
        "UnsuccessfullyDeletedLaunchTemplateVersions": [
            {
                **_at(template, number),
                "ResponseError": {
                    "Code": "launchTemplateVersionDoesNotExist",
                    "Message": str(refusal),
                },
            }
            for number, refusal in outcome.items()
            if refusal is not None
        ],
    }


def get_launch_template_data(svc: Services, caller: Caller, request: Request) -> Result:
    instance_id = parse_instance_id(request["InstanceId"])
    (found,) = instances.describe_instances(svc, caller, [instance_id], (), Page())
    raw = found.instance.user_data
    user_data = None if raw is None else base64.b64encode(raw).decode()
    return {"LaunchTemplateData": template_data.of_instance(found, user_data)}


def _warning(svc: Services, caller: Caller, data: Document) -> Shape:
    found = actions.warnings(svc, caller, data)
    if not found:
        return {}
    errors = [{"Code": each.code, "Message": str(each)} for each in found]
    return {"Warning": {"Errors": errors}}


def _resolver(svc: Services, caller: Caller, request: Request) -> Callable[[str], str]:
    """How an ImageId is told: as the document has it, or with ResolveAlias as what it names."""
    if not request.get("ResolveAlias"):
        return str
    return lambda text: parameters.resolved_image(svc, caller, text)


def _creator(template: LaunchTemplate) -> str:
    return f"arn:aws:iam::{template.owner}:root"


def _template(described: Described) -> Shape:
    template = described.template
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "CreateTime": template.created_at,
        "CreatedBy": _creator(template),
        "DefaultVersionNumber": template.default_version,
        "LatestVersionNumber": template.latest_version,
        "Tags": [{"Key": key, "Value": value} for key, value in described.tags.items()],
    }


def _version(described: DescribedVersion, shown: Callable[[str], str]) -> Shape:
    template, version = described.template, described.version
    data = dict(version.data)
    if "ImageId" in data:
        data["ImageId"] = shown(data["ImageId"])
    return {
        **_at(template, version.number),
        "VersionDescription": version.description,
        "CreateTime": version.created_at,
        "CreatedBy": _creator(template),
        "DefaultVersion": version.number == template.default_version,
        "LaunchTemplateData": data,
    }


def _at(template: LaunchTemplate, number: int) -> Shape:
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionNumber": number,
    }


def _in_data(*path: str) -> Callable[[DescribedVersion], Iterable[str]]:
    """What the document says at a path; nothing where it says nothing."""

    def texts(described: DescribedVersion) -> Sequence[str]:
        found: Any = described.version.data
        for name in path:
            found = found.get(name) if found else None
        if found is None:
            return []
        return [str(found).lower() if isinstance(found, bool) else str(found)]

    return texts


_FILTERS: Final[Mapping[str, Callable[[DescribedVersion], Iterable[str]]]] = {
    "create-time": lambda each: [
        each.version.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ],
    "ebs-optimized": _in_data("EbsOptimized"),
    "http-endpoint": _in_data("MetadataOptions", "HttpEndpoint"),
    "http-tokens": _in_data("MetadataOptions", "HttpTokens"),
    "http-protocol-ipv4": _in_data("MetadataOptions", "HttpEndpoint"),
    "iam-instance-profile": _in_data("IamInstanceProfile", "Arn"),
    "image-id": _in_data("ImageId"),
    "instance-type": _in_data("InstanceType"),
    "is-default-version": lambda each: [
        str(each.version.number == each.template.default_version).lower()
    ],
    **dict.fromkeys(
        ("host-resource-group-arn", "kernel-id", "ram-disk-id", "license-configuration-arn"),
        lambda _: (),
    ),
    "network-card-index": lambda each: [
        str(one["NetworkCardIndex"])
        for one in each.version.data.get("NetworkInterfaces", ())
        if "NetworkCardIndex" in one
    ],
}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateLaunchTemplate": operation(
        create_launch_template,
        *("ClientToken", "LaunchTemplateName", "VersionDescription", "LaunchTemplateData"),
        "TagSpecifications",
        partly="a template holds what RunInstances takes here",
    ),
    "CreateLaunchTemplateVersion": operation(
        create_launch_template_version,
        *(*_WHICH, "ClientToken", "SourceVersion", "VersionDescription", "LaunchTemplateData"),
        "ResolveAlias",
        partly="a template holds what RunInstances takes here",
    ),
    "DescribeLaunchTemplates": operation(
        describe_launch_templates,
        *("LaunchTemplateIds", "LaunchTemplateNames", "Filters", "MaxResults", "NextToken"),
        "IncludeManagedResources",
    ),
    "DescribeLaunchTemplateVersions": operation(
        describe_launch_template_versions,
        *(*_WHICH, "Versions", "MinVersion", "MaxVersion", "Filters", "MaxResults", "NextToken"),
        *("ResolveAlias", "IncludeManagedResources"),
    ),
    "ModifyLaunchTemplate": operation(
        modify_launch_template, *_WHICH, "ClientToken", "DefaultVersion"
    ),
    "DeleteLaunchTemplate": operation(delete_launch_template, *_WHICH),
    "DeleteLaunchTemplateVersions": operation(delete_launch_template_versions, *_WHICH, "Versions"),
    "GetLaunchTemplateData": operation(get_launch_template_data, "InstanceId"),
}
