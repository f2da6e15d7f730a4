"""Launch templates that cannot be, versions that are not there, launches of neither."""

from typing import Any

from support.bad_requests.row import Bad

_VALUE = "InvalidParameterValue"
_UNSUPPORTED = "UnsupportedOperation"
_NO_VERSION = "InvalidLaunchTemplateId.VersionNotFound"
_NO_TEMPLATE = "InvalidLaunchTemplateId.NotFound"
_NO_NAME = "InvalidLaunchTemplateName.NotFoundException"
_BAD_NAME = "InvalidLaunchTemplateName.MalformedException"
_SMALL: Any = {"InstanceType": "t3.micro"}
_LT: Any = {"LaunchTemplateId": "{template}"}


def _create(why: str, code: str, name: str = "new-one", **data: Any) -> Bad:
    request = {"LaunchTemplateName": name, "LaunchTemplateData": data or _SMALL}
    return Bad(f"a template with {why}", "CreateLaunchTemplate", request, code)


def _of(operation: str, why: str, code: str, **request: Any) -> Bad:
    return Bad(why, operation, request, code)


def _launch(why: str, code: str, **template: Any) -> Bad:
    request = {"MinCount": 1, "MaxCount": 1, "LaunchTemplate": template}
    return Bad(f"a launch of {why}", "RunInstances", request, code)


TEMPLATES = (
    _create("a name that is taken", "InvalidLaunchTemplateName.AlreadyExistsException",
            "{template_name}"),
    _create("a name of two letters", _BAD_NAME, "ab"),
    _create("a name with a space", _BAD_NAME, "a template"),
    _create("a name of 129 letters", _BAD_NAME, "x" * 129),
    _create("an image that is no id", "InvalidAMIID.Malformed", ImageId="debian"),
    _create("a kernel", _UNSUPPORTED, KernelId="aki-12345678"),
    _create("spot instances", _UNSUPPORTED, InstanceMarketOptions={"MarketType": "spot"}),
    _create("a profile", _UNSUPPORTED, IamInstanceProfile={"Name": "admin"}),
    _create("two interfaces", _UNSUPPORTED,
            NetworkInterfaces=[{"DeviceIndex": 0}, {"DeviceIndex": 1}]),
    _create("a dedicated host", _UNSUPPORTED, Placement={"Tenancy": "dedicated"}),
    _create("user data that is no base64", _VALUE, UserData="#!/bin/sh"),
    _create("tokens that may be", _VALUE, MetadataOptions={"HttpTokens": "maybe"}),
    _create("tags of an image", _VALUE,
            TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}]),
    _create("a device with no name", "InvalidBlockDeviceMapping|MissingParameter",
            BlockDeviceMappings=[{"Ebs": {"VolumeSize": 1}}]),
    _of("CreateLaunchTemplate", "a template with no data", "MissingParameter",
        LaunchTemplateName="new-one"),
    _of("CreateLaunchTemplate", "a template tagged as an instance", _VALUE,
        LaunchTemplateName="new-one", LaunchTemplateData=_SMALL,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]),
    _of("CreateLaunchTemplateVersion", "a version of a source that is not there", _NO_VERSION,
        **_LT, SourceVersion="9", LaunchTemplateData=_SMALL),
    _of("CreateLaunchTemplateVersion", "a version of a source that is no version", _VALUE,
        **_LT, SourceVersion="newest", LaunchTemplateData=_SMALL),
    _of("CreateLaunchTemplateVersion", "a version of no template", "MissingParameter",
        LaunchTemplateData=_SMALL),
    _of("CreateLaunchTemplateVersion", "a version of a foreign template", _NO_TEMPLATE,
        LaunchTemplateId="{foreign_template}", LaunchTemplateData=_SMALL),
    _of("CreateLaunchTemplateVersion", "a description of 256 letters", _VALUE,
        **_LT, VersionDescription="x" * 256, LaunchTemplateData=_SMALL),
    _of("ModifyLaunchTemplate", "a default that is not there", _NO_VERSION,
        **_LT, DefaultVersion="9"),
    _of("ModifyLaunchTemplate", "no new default", "MissingParameter", **_LT),
    _of("ModifyLaunchTemplate", "a template named twice", "InvalidParameterCombination",
        **_LT, LaunchTemplateName="{template_name}", DefaultVersion="2"),
    _of("DeleteLaunchTemplate", "a template that never was, deleted", _NO_TEMPLATE,
        LaunchTemplateId="lt-0123456789abcdef0"),
    _of("DeleteLaunchTemplate", "a name that never was, deleted", _NO_NAME,
        LaunchTemplateName="none"),
    _of("DeleteLaunchTemplate", "an id of a template that is none",
        "InvalidLaunchTemplateId.Malformed", LaunchTemplateId="{image}"),
    _of("DeleteLaunchTemplateVersions", "the default version deleted", _VALUE,
        **_LT, Versions=["2", "1"]),
    _of("DeleteLaunchTemplateVersions", "the latest version deleted by its alias", _VALUE,
        **_LT, Versions=["$Latest"]),
    _of("DescribeLaunchTemplateVersions", "versions of all templates by number", _VALUE,
        Versions=["1"]),
    _of("DescribeLaunchTemplateVersions", "a filter of versions that is none", _VALUE,
        **_LT, Filters=[{"Name": "colour", "Values": ["red"]}]),
    _launch("a template that never was", _NO_NAME, LaunchTemplateName="none"),
    _launch("a version that is not there", _NO_VERSION, **_LT, Version="9"),
    _launch("a version that is none", _VALUE, **_LT, Version="newest"),
    _launch("a foreign template", _NO_TEMPLATE, LaunchTemplateId="{foreign_template}"),
)  # fmt: skip
