"""Requests that name what is the asker's own, and beside it a resource of the owner."""

from typing import Any, Final

from support.access.row import MAY, NOTHING, SEES, Access, own, shared

_IMAGE: Final = "InvalidAMIID.NotFound"
_SNAPSHOT: Final = "InvalidSnapshot.NotFound"
_VOLUME: Final = "InvalidVolume.NotFound"
_INSTANCE: Final = "InvalidInstanceID.NotFound"
_GROUP: Final = "InvalidGroup.NotFound"
_SUBNET: Final = "InvalidSubnetID.NotFound"
_KEY: Final = "InvalidKeyPair.NotFound"
_RULE: Final = "InvalidSecurityGroupRuleId.NotFound"
_BUCKET: Final = "InvalidParameter"
_ONE: Final = {"MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro"}
_MINE: Final[dict[str, Any]] = {"ImageId": "{my_image}", **_ONE}


def _disk(name: str) -> list[dict[str, Any]]:
    return [{"DeviceName": "/dev/sdg", "Ebs": {"SnapshotId": f"{{{name}}}"}}]


def _interface(**more: Any) -> list[dict[str, Any]]:
    return [{"DeviceIndex": 0, **more}]


_LAUNCHES: Final = (
    own("RunInstances", _KEY, KeyName="{key_name}", **_MINE),
    own("RunInstances", _GROUP, SecurityGroupIds=["{group}"], **_MINE),
    own("RunInstances", _GROUP, SecurityGroups=["{group_name}"], **_MINE),
    own("RunInstances", _SUBNET, SubnetId="{subnet}", **_MINE),
    own("RunInstances", _SUBNET, NetworkInterfaces=_interface(SubnetId="{subnet}"), **_MINE),
    own("RunInstances", _GROUP, NetworkInterfaces=_interface(Groups=["{group}"]), **_MINE),
    shared("RunInstances", _SNAPSHOT, MAY, BlockDeviceMappings=_disk("snapshot"), **_MINE),
    own("RunInstances", _SNAPSHOT, BlockDeviceMappings=_disk("free_snapshot"), **_MINE),
    own(
        *("RunInstances", "InvalidLaunchTemplateName.NotFoundException"),
        LaunchTemplate={"LaunchTemplateName": "{template_name}"},
        **_ONE,
    ),
    own("RunInstances", "InvalidParameterValue", ImageId="{resolved}", **_ONE),
    own("RunInstances", "InvalidParameterValue", ImageId="{resolved_arn}", **_ONE),
    shared(
        *("RunInstances", _IMAGE, MAY),
        LaunchTemplate={"LaunchTemplateId": "{my_template_of_image}"},
        **_ONE,
    ),
)

# What a launch template says is looked at when it is launched; image and key are warned of.
_DATA: Final[tuple[tuple[dict[str, Any], tuple[str, str, str]], ...]] = (
    ({"ImageId": "{image}"}, (SEES, NOTHING, NOTHING)),
    ({"KeyName": "{key_name}"}, (SEES, SEES, NOTHING)),
    *(
        (data, (NOTHING, NOTHING, NOTHING))
        for data in (
            {"SecurityGroupIds": ["{group}"]},
            {"SecurityGroups": ["{group_name}"]},
            {"BlockDeviceMappings": _disk("free_snapshot")},
            {"NetworkInterfaces": _interface(SubnetId="{subnet}")},
            {"NetworkInterfaces": _interface(Groups=["{group}"])},
        )
    ),
)
_TEMPLATES: Final = (
    *(
        shared(
            *("CreateLaunchTemplate", MAY, MAY),
            LaunchTemplateName="another",
            LaunchTemplateData=data,
        )
        for data, _ in _DATA
    ),
    *(
        Access(
            operation="CreateLaunchTemplateVersion",
            request={"LaunchTemplateId": "{my_template_of_never}", "LaunchTemplateData": data},
            stranger=stranger,
            reader=reader,
            owner=owner,
            shows="'Warning'",
        )
        for data, (stranger, reader, owner) in _DATA
    ),
)

_REPLACEMENTS: Final = (
    shared(
        *("CreateReplaceRootVolumeTask", _IMAGE, MAY),
        InstanceId="{my_instance}",
        ImageId="{image}",
    ),
    # Only of the lineage of the root volume, whosever it is.
    shared(
        *("CreateReplaceRootVolumeTask", _SNAPSHOT, "AuthFailure", "InvalidParameterValue"),
        InstanceId="{my_instance}",
        SnapshotId="{snapshot}",
    ),
    own(
        *("CreateReplaceRootVolumeTask", _VOLUME),
        InstanceId="{my_instance}",
        VolumeId="{volume}",
    ),
)

_TCP: Final[dict[str, Any]] = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
_FREE: Final = _TCP | {"CidrIp": "10.0.0.0/8"}
_NO_RULE: Final = "InvalidPermission.NotFound"
_SOURCES: Final[tuple[dict[str, Any], ...]] = (
    {"GroupId": "{group}"},
    {"GroupName": "{group_name}"},
)
_RULES: Final = (
    *(
        own(
            *(f"{verb}SecurityGroup{way}", _GROUP, owner),
            GroupId="{my_group}",
            IpPermissions=[_TCP | {"UserIdGroupPairs": [source]}],
        )
        for verb, owner in (("Authorize", MAY), ("Revoke", _NO_RULE))
        for way in ("Ingress", "Egress")
        for source in _SOURCES
    ),
    *(
        own(
            *(f"{verb}SecurityGroupIngress", _GROUP, owner),
            GroupId="{my_group}",
            SourceSecurityGroupName="{group_name}",
        )
        for verb, owner in (("Authorize", MAY), ("Revoke", _NO_RULE))
    ),
    *(
        own(
            *(f"RevokeSecurityGroup{way}", _RULE, _RULE),
            GroupId="{my_group}",
            SecurityGroupRuleIds=["{rule}"],
        )
        for way in ("Ingress", "Egress")
    ),
    own("DescribeSecurityGroups", _GROUP, SEES, GroupNames=["{group_name}"]),
    own("DeleteSecurityGroup", _GROUP, GroupName="{group_name}"),
    own("AuthorizeSecurityGroupIngress", _GROUP, GroupName="{group_name}", **_FREE),
    own("RevokeSecurityGroupIngress", _GROUP, _NO_RULE, GroupName="{group_name}", **_FREE),
)

_TO_OTHERS_BUCKETS: Final = (
    own("CreateStoreImageTask", _BUCKET, ImageId="{my_image}", Bucket="{bucket}"),
    own(
        *("ExportImage", _BUCKET),
        ImageId="{my_image}",
        DiskImageFormat="VMDK",
        S3ExportLocation={"S3Bucket": "{bucket}"},
    ),
    own(
        *("CreateInstanceExportTask", _BUCKET, "NotExportable"),
        InstanceId="{my_instance}",
        TargetEnvironment="vmware",
        ExportToS3Task={"S3Bucket": "{bucket}"},
    ),
    own(
        *("ImportImage", _BUCKET),
        DiskContainers=[{"UserBucket": {"S3Bucket": "{bucket}", "S3Key": "disk.raw"}}],
    ),
)

ROWS: Final[tuple[Access, ...]] = (
    *_LAUNCHES,
    *_TEMPLATES,
    *_REPLACEMENTS,
    *_RULES,
    *_TO_OTHERS_BUCKETS,
    own(
        *("AttachVolume", _VOLUME),
        VolumeId="{volume}",
        InstanceId="{my_instance}",
        Device="/dev/sdh",
    ),
    own(
        *("AttachVolume", _INSTANCE),
        VolumeId="{my_volume}",
        InstanceId="{instance}",
        Device="/dev/sdh",
    ),
    own(
        *("DetachVolume", "InvalidAttachment.NotFound", "InvalidAttachment.NotFound"),
        VolumeId="{my_attached}",
        InstanceId="{instance}",
    ),
    own("ModifyInstanceAttribute", _GROUP, InstanceId="{my_instance}", Groups=["{group}"]),
    own(
        *("ModifyNetworkInterfaceAttribute", _GROUP),
        NetworkInterfaceId="{my_interface}",
        Groups=["{group}"],
    ),
    *(
        own(
            *(f"{verb}InstanceEventWindow", code, owner),
            InstanceEventWindowId="{my_window}",
            AssociationTarget={"InstanceIds": ["{instance}"]},
        )
        for verb, code, owner in (
            ("Associate", _INSTANCE, MAY),
            ("Disassociate", NOTHING, NOTHING),  # what a window has not, is not taken from it
        )
    ),
    own(
        *("CreateSnapshots", "InvalidParameterValue", "InvalidParameterValue"),
        InstanceSpecification={
            "InstanceId": "{my_instance}",
            "ExcludeDataVolumeIds": ["{attached}"],
        },
    ),
    shared(
        *("CreateImage", _SNAPSHOT, MAY),
        InstanceId="{my_instance}",
        Name="more",
        BlockDeviceMappings=_disk("snapshot"),
    ),
    own("CreateVolume", _SNAPSHOT, SnapshotId="{free_snapshot}", AvailabilityZone="us-east-1a"),
    own(
        *("RegisterImage", _SNAPSHOT),
        Name="more",
        RootDeviceName="/dev/sdg",
        BlockDeviceMappings=_disk("free_snapshot"),
    ),
    own(
        *("CreateTags", _VOLUME),
        Resources=["{my_volume}", "{volume}"],
        Tags=[{"Key": "mine", "Value": "1"}],
    ),
    own("DescribeVolumes", _VOLUME, SEES, VolumeIds=["{my_volume}", "{volume}"]),
)
