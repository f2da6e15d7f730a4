"""Ids that are none, that nobody has, and that somebody else has."""

from support.bad_requests.row import Bad

_BDM_ROOT = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-x"}}
_ONE = {"MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro"}

MALFORMED = (
    Bad(
        "image id: a word",
        "DescribeImages",
        {"ImageIds": ["not_an_ami_id"]},
        "InvalidAMIID.Malformed",
    ),
    Bad(
        "image id: no hex digits",
        "DescribeImages",
        {"ImageIds": ["ami-aaaaaaa777"]},
        "InvalidAMIID.Malformed",
    ),
    Bad(
        "image id: only the prefix",
        "DescribeImages",
        {"ImageIds": ["ami-"]},
        "InvalidAMIID.Malformed",
    ),
    Bad(
        "image id: a snapshot's",
        "DescribeImages",
        {"ImageIds": ["{snapshot}"]},
        "InvalidAMIID.Malformed",
    ),
    Bad(
        "image id: one bad among good",
        "DescribeImages",
        {"ImageIds": ["{image}", "ami-x"]},
        "InvalidAMIID.Malformed",
    ),
    Bad(
        "image id: SQL",
        "DescribeImages",
        {"ImageIds": ["ami-' OR 1=1 --"]},
        "InvalidAMIID.Malformed",
    ),
    Bad(
        "image id to launch",
        "RunInstances",
        {"ImageId": "ami-xyz", **_ONE},
        "InvalidAMIID.Malformed",
    ),
    Bad(
        "image id to deregister",
        "DeregisterImage",
        {"ImageId": "{snapshot}"},
        "InvalidAMIID.Malformed",
    ),
    Bad(
        "image id whose attribute",
        "DescribeImageAttribute",
        {"ImageId": "x", "Attribute": "description"},
        "InvalidAMIID.Malformed",
    ),
    Bad(
        "snapshot id",
        "DescribeSnapshots",
        {"SnapshotIds": ["snap-x"]},
        "InvalidSnapshotID.Malformed",
    ),
    Bad(
        "snapshot id to delete",
        "DeleteSnapshot",
        {"SnapshotId": "{volume}"},
        "InvalidSnapshotID.Malformed",
    ),
    Bad(
        "snapshot id of a new volume",
        "CreateVolume",
        {"AvailabilityZone": "us-east-1a", "SnapshotId": "snap-"},
        "InvalidSnapshotID.Malformed",
    ),
    Bad(
        "snapshot id of a new image",
        "RegisterImage",
        {"Name": "bad one", "RootDeviceName": "/dev/xvda", "BlockDeviceMappings": [_BDM_ROOT]},
        "InvalidSnapshotID.Malformed",
    ),
    Bad("volume id", "DescribeVolumes", {"VolumeIds": ["vol-x"]}, "InvalidVolumeID.Malformed"),
    Bad(
        "volume id to snapshot",
        "CreateSnapshot",
        {"VolumeId": "web disk"},
        "InvalidVolumeID.Malformed",
    ),
    Bad(
        "volume id to attach",
        "AttachVolume",
        {"VolumeId": "vol-x", "InstanceId": "{running}", "Device": "/dev/sdx"},
        "InvalidVolumeID.Malformed",
    ),
    Bad(
        "instance id", "DescribeInstances", {"InstanceIds": ["i-x"]}, "InvalidInstanceID.Malformed"
    ),
    Bad(
        "instance id to attach to",
        "AttachVolume",
        {"VolumeId": "{volume}", "InstanceId": "web-1", "Device": "/dev/sdx"},
        "InvalidInstanceID.Malformed",
    ),
    Bad(
        "instance id to make an image of",
        "CreateImage",
        {"InstanceId": "web-1", "Name": "bad one"},
        "InvalidInstanceID.Malformed",
    ),
    Bad(
        "instance id: one bad among good to terminate",
        "TerminateInstances",
        {"InstanceIds": ["{running}", "i-x"]},
        "InvalidInstanceID.Malformed",
    ),
    Bad("group id", "DescribeSecurityGroups", {"GroupIds": ["sg-x"]}, "InvalidGroupId.Malformed"),
    Bad(
        "group id of a launch",
        "RunInstances",
        {"ImageId": "{image}", **_ONE, "SecurityGroupIds": ["web"]},
        "InvalidGroupId.Malformed",
    ),
    Bad(
        "group rule id",
        "DescribeSecurityGroupRules",
        {"SecurityGroupRuleIds": ["sgr-x"]},
        "InvalidSecurityGroupRuleId.Malformed",
    ),
    Bad("subnet id", "DescribeSubnets", {"SubnetIds": ["subnet-x"]}, "InvalidSubnetID.Malformed"),
    Bad("vpc id", "DescribeVpcs", {"VpcIds": ["vpc-x"]}, "InvalidVpcID.Malformed"),
    Bad(
        "interface id",
        "DescribeNetworkInterfaces",
        {"NetworkInterfaceIds": ["eni-x"]},
        "InvalidNetworkInterfaceId.Malformed",
    ),
    Bad(
        "id to tag: a word",
        "CreateTags",
        {"Resources": ["banana"], "Tags": [{"Key": "a"}]},
        "InvalidID",
    ),
    Bad(
        "id to tag: a kind that EC2 lacks",
        "CreateTags",
        {"Resources": ["banana-0123456789abcdef0"], "Tags": [{"Key": "a"}]},
        "InvalidID",
    ),
    Bad("id to untag", "DeleteTags", {"Resources": ["ami-x"], "Tags": [{"Key": "a"}]}, "InvalidID"),
    Bad(
        "account id of owners", "DescribeImages", {"Owners": ["nobody"]}, "InvalidUserID.Malformed"
    ),
    Bad(
        "account id of executable users",
        "DescribeImages",
        {"ExecutableUsers": ["12"]},
        "InvalidUserID.Malformed",
    ),
    Bad(
        "account id of snapshot owners",
        "DescribeSnapshots",
        {"OwnerIds": ["me"]},
        "InvalidUserID.Malformed",
    ),
)

_NONE = "0123456789abcdef0"
_AMI, _SNAP, _VOL, _I = f"ami-{_NONE}", f"snap-{_NONE}", f"vol-{_NONE}", f"i-{_NONE}"

UNKNOWN = (
    Bad("image to describe", "DescribeImages", {"ImageIds": [_AMI]}, "InvalidAMIID.NotFound"),
    Bad(
        "image to describe, beside one that is",
        "DescribeImages",
        {"ImageIds": ["{image}", _AMI]},
        "InvalidAMIID.NotFound",
    ),
    Bad(
        "image by an old short id",
        "DescribeImages",
        {"ImageIds": ["ami-12345678"]},
        "InvalidAMIID.NotFound",
    ),
    Bad("image to launch", "RunInstances", {"ImageId": _AMI, **_ONE}, "InvalidAMIID.NotFound"),
    Bad("image to deregister", "DeregisterImage", {"ImageId": _AMI}, "InvalidAMIID.NotFound"),
    Bad(
        "image to change",
        "ModifyImageAttribute",
        {"ImageId": _AMI, "Description": {"Value": "x"}},
        "InvalidAMIID.NotFound",
    ),
    Bad(
        "image to tag",
        "CreateTags",
        {"Resources": [_AMI], "Tags": [{"Key": "a"}]},
        "InvalidAMIID.NotFound",
    ),
    Bad(
        "image to tag, after one that is",
        "CreateTags",
        {"Resources": ["{image}", _AMI], "Tags": [{"Key": "a"}]},
        "InvalidAMIID.NotFound",
    ),
    Bad(
        "snapshot to describe",
        "DescribeSnapshots",
        {"SnapshotIds": [_SNAP]},
        "InvalidSnapshot.NotFound",
    ),
    Bad("snapshot to delete", "DeleteSnapshot", {"SnapshotId": _SNAP}, "InvalidSnapshot.NotFound"),
    Bad(
        "snapshot of a new volume",
        "CreateVolume",
        {"AvailabilityZone": "us-east-1a", "SnapshotId": _SNAP},
        "InvalidSnapshot.NotFound",
    ),
    Bad("volume to describe", "DescribeVolumes", {"VolumeIds": [_VOL]}, "InvalidVolume.NotFound"),
    Bad("volume to delete", "DeleteVolume", {"VolumeId": _VOL}, "InvalidVolume.NotFound"),
    Bad("volume to snapshot", "CreateSnapshot", {"VolumeId": _VOL}, "InvalidVolume.NotFound"),
    Bad(
        "volume to attach",
        "AttachVolume",
        {"VolumeId": _VOL, "InstanceId": "{running}", "Device": "/dev/sdx"},
        "InvalidVolume.NotFound",
    ),
    Bad("volume to detach", "DetachVolume", {"VolumeId": _VOL}, "InvalidVolume.NotFound"),
    Bad(
        "volume whose attribute",
        "DescribeVolumeAttribute",
        {"VolumeId": _VOL, "Attribute": "autoEnableIO"},
        "InvalidVolume.NotFound",
    ),
    Bad(
        "instance to describe",
        "DescribeInstances",
        {"InstanceIds": [_I]},
        "InvalidInstanceID.NotFound",
    ),
    Bad(
        "instance whose status",
        "DescribeInstanceStatus",
        {"InstanceIds": [_I]},
        "InvalidInstanceID.NotFound",
    ),
    Bad("instance to start", "StartInstances", {"InstanceIds": [_I]}, "InvalidInstanceID.NotFound"),
    Bad(
        "instance to stop, after one that runs",
        "StopInstances",
        {"InstanceIds": ["{running}", _I]},
        "InvalidInstanceID.NotFound",
    ),
    Bad(
        "instance to reboot", "RebootInstances", {"InstanceIds": [_I]}, "InvalidInstanceID.NotFound"
    ),
    Bad(
        "instance to terminate",
        "TerminateInstances",
        {"InstanceIds": [_I]},
        "InvalidInstanceID.NotFound",
    ),
    Bad(
        "instance whose console",
        "GetConsoleOutput",
        {"InstanceId": _I},
        "InvalidInstanceID.NotFound",
    ),
    Bad(
        "instance whose attribute",
        "DescribeInstanceAttribute",
        {"InstanceId": _I, "Attribute": "userData"},
        "InvalidInstanceID.NotFound",
    ),
    Bad(
        "instance to make an image of",
        "CreateImage",
        {"InstanceId": _I, "Name": "bad one"},
        "InvalidInstanceID.NotFound",
    ),
    Bad(
        "instance to attach to",
        "AttachVolume",
        {"VolumeId": "{volume}", "InstanceId": _I, "Device": "/dev/sdx"},
        "InvalidInstanceID.NotFound",
    ),
    Bad("key pair", "DescribeKeyPairs", {"KeyNames": ["nobody's"]}, "InvalidKeyPair.NotFound"),
    Bad(
        "key pair of a launch",
        "RunInstances",
        {"ImageId": "{image}", **_ONE, "KeyName": "nobody's"},
        "InvalidKeyPair.NotFound",
    ),
    Bad("group", "DescribeSecurityGroups", {"GroupIds": [f"sg-{_NONE}"]}, "InvalidGroup.NotFound"),
    Bad(
        "group by name",
        "DescribeSecurityGroups",
        {"GroupNames": ["nobody's"]},
        "InvalidGroup.NotFound",
    ),
    Bad(
        "group to delete",
        "DeleteSecurityGroup",
        {"GroupId": f"sg-{_NONE}"},
        "InvalidGroup.NotFound",
    ),
    Bad(
        "group of a launch",
        "RunInstances",
        {"ImageId": "{image}", **_ONE, "SecurityGroupIds": [f"sg-{_NONE}"]},
        "InvalidGroup.NotFound",
    ),
    Bad(
        "group of a launch by name",
        "RunInstances",
        {"ImageId": "{image}", **_ONE, "SecurityGroups": ["nobody's"]},
        "InvalidGroup.NotFound",
    ),
    Bad(
        "subnet", "DescribeSubnets", {"SubnetIds": [f"subnet-{_NONE}"]}, "InvalidSubnetID.NotFound"
    ),
    Bad(
        "subnet of a launch",
        "RunInstances",
        {"ImageId": "{image}", **_ONE, "SubnetId": f"subnet-{_NONE}"},
        "InvalidSubnetID.NotFound",
    ),
    Bad("vpc", "DescribeVpcs", {"VpcIds": [f"vpc-{_NONE}"]}, "InvalidVpcID.NotFound"),
    Bad(
        "vpc of a new group",
        "CreateSecurityGroup",
        {"GroupName": "x", "Description": "x", "VpcId": f"vpc-{_NONE}"},
        "InvalidVpcID.NotFound",
    ),
    Bad(
        "interface",
        "DescribeNetworkInterfaces",
        {"NetworkInterfaceIds": [f"eni-{_NONE}"]},
        "InvalidNetworkInterfaceID.NotFound",
    ),
)

FOREIGN = (
    Bad(
        "image to see", "DescribeImages", {"ImageIds": ["{foreign_image}"]}, "InvalidAMIID.NotFound"
    ),
    Bad(
        "image to launch",
        "RunInstances",
        {"ImageId": "{foreign_image}", **_ONE},
        "InvalidAMIID.NotFound",
    ),
    Bad(
        "image to deregister",
        "DeregisterImage",
        {"ImageId": "{foreign_image}"},
        "InvalidAMIID.NotFound",
    ),
    Bad(
        "image to make public",
        "ModifyImageAttribute",
        {"ImageId": "{foreign_image}", "LaunchPermission": {"Add": [{"Group": "all"}]}},
        "InvalidAMIID.NotFound",
    ),
    Bad(
        "image whose permissions",
        "DescribeImageAttribute",
        {"ImageId": "{foreign_image}", "Attribute": "launchPermission"},
        "InvalidAMIID.NotFound",
    ),
    Bad(
        "public image to deregister",
        "DeregisterImage",
        {"ImageId": "{foreign_public_image}"},
        "AuthFailure",
    ),
    Bad(
        "public image to change",
        "ModifyImageAttribute",
        {"ImageId": "{foreign_public_image}", "Description": {"Value": "x"}},
        "AuthFailure",
    ),
    Bad(
        "public image whose permissions",
        "DescribeImageAttribute",
        {"ImageId": "{foreign_public_image}", "Attribute": "launchPermission"},
        "AuthFailure",
    ),
    Bad(
        "snapshot to see",
        "DescribeSnapshots",
        {"SnapshotIds": ["{foreign_snapshot}"]},
        "InvalidSnapshot.NotFound",
    ),
    Bad(
        "snapshot to restore",
        "CreateVolume",
        {"AvailabilityZone": "us-east-1a", "SnapshotId": "{foreign_snapshot}"},
        "InvalidSnapshot.NotFound",
    ),
    Bad(
        "snapshot to delete",
        "DeleteSnapshot",
        {"SnapshotId": "{foreign_snapshot}"},
        "InvalidSnapshot.NotFound",
    ),
    Bad(
        "snapshot to make an image of",
        "RegisterImage",
        {
            "Name": "stolen",
            "RootDeviceName": "/dev/xvda",
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "{foreign_snapshot}"}}
            ],
        },
        "InvalidSnapshot.NotFound",
    ),
    Bad(
        "snapshot to mount at launch",
        "RunInstances",
        {
            "ImageId": "{image}",
            **_ONE,
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/sdg", "Ebs": {"SnapshotId": "{foreign_snapshot}"}}
            ],
        },
        "InvalidSnapshot.NotFound",
    ),
    Bad(
        "volume to snapshot",
        "CreateSnapshot",
        {"VolumeId": "{foreign_volume}"},
        "InvalidVolume.NotFound",
    ),
    Bad(
        "volume to attach",
        "AttachVolume",
        {"VolumeId": "{foreign_volume}", "InstanceId": "{running}", "Device": "/dev/sdx"},
        "InvalidVolume.NotFound",
    ),
    Bad(
        "instance to attach to",
        "AttachVolume",
        {"VolumeId": "{volume}", "InstanceId": "{foreign_instance}", "Device": "/dev/sdx"},
        "InvalidInstanceID.NotFound",
    ),
    Bad(
        "instance to stop",
        "StopInstances",
        {"InstanceIds": ["{foreign_instance}"]},
        "InvalidInstanceID.NotFound",
    ),
    Bad(
        "instance whose user data",
        "DescribeInstanceAttribute",
        {"InstanceId": "{foreign_instance}", "Attribute": "userData"},
        "InvalidInstanceID.NotFound",
    ),
    Bad(
        "instance whose console",
        "GetConsoleOutput",
        {"InstanceId": "{foreign_instance}"},
        "InvalidInstanceID.NotFound",
    ),
    Bad(
        "instance to make an image of",
        "CreateImage",
        {"InstanceId": "{foreign_instance}", "Name": "stolen"},
        "InvalidInstanceID.NotFound",
    ),
    Bad(
        "key of a launch",
        "RunInstances",
        {"ImageId": "{image}", **_ONE, "KeyName": "foreign-key"},
        "InvalidKeyPair.NotFound",
    ),
    Bad(
        "group of a launch",
        "RunInstances",
        {"ImageId": "{image}", **_ONE, "SecurityGroupIds": ["{foreign_group}"]},
        "InvalidGroup.NotFound",
    ),
    Bad(
        "group to open",
        "AuthorizeSecurityGroupIngress",
        {
            "GroupId": "{foreign_group}",
            "IpProtocol": "tcp",
            "FromPort": 1,
            "ToPort": 1,
            "CidrIp": "0.0.0.0/0",
        },
        "InvalidGroup.NotFound",
    ),
    Bad(
        "subnet of a launch",
        "RunInstances",
        {"ImageId": "{image}", **_ONE, "SubnetId": "{foreign_subnet}"},
        "InvalidSubnetID.NotFound",
    ),
    Bad(
        "snapshot to tag",
        "CreateTags",
        {"Resources": ["{foreign_snapshot}"], "Tags": [{"Key": "a"}]},
        "InvalidSnapshot.NotFound",
    ),
)
