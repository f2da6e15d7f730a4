"""Instances: "{instance}" runs, "{stopped}" does not."""

from typing import Final

from support.access.row import MAY, NOTHING, SEES, Access, own

UNKNOWN: Final = "InvalidInstanceID.NotFound"

_GONE: Final = "InvalidInstanceID.NotFound"
_NO_INTERFACE: Final = "InvalidNetworkInterfaceID.NotFound"

ROWS: Final[tuple[Access, ...]] = (
    *(
        own(operation, UNKNOWN, SEES, InstanceIds=["{instance}"])
        for operation in (
            "DescribeInstances",
            "DescribeInstanceStatus",
            "DescribeInstanceCreditSpecifications",
            "DescribeInstanceImageMetadata",
            "DescribeInstanceTopology",
        )
    ),
    own(
        "DescribeInstanceAttribute",
        *(UNKNOWN, SEES),
        InstanceId="{instance}",
        Attribute="instanceType",
    ),
    own("GetConsoleOutput", UNKNOWN, SEES, InstanceId="{instance}"),
    # A machine that is only state has no screen.
    own("GetConsoleScreenshot", UNKNOWN, "Unavailable", InstanceId="{instance}"),
    *(
        own(operation, UNKNOWN, MAY, InstanceIds=["{instance}"])
        for operation in ("StopInstances", "RebootInstances", "TerminateInstances")
    ),
    own("StartInstances", UNKNOWN, InstanceIds=["{stopped}"]),
    own(
        "ModifyInstanceAttribute", UNKNOWN, InstanceId="{instance}", SourceDestCheck={"Value": True}
    ),
    own("ModifyInstanceMetadataOptions", UNKNOWN, InstanceId="{instance}", HttpTokens="required"),
    own("ModifyInstanceCpuOptions", UNKNOWN, InstanceId="{stopped}", ThreadsPerCore=1),
    own(
        "ModifyInstanceMaintenanceOptions", UNKNOWN, InstanceId="{instance}", AutoRecovery="default"
    ),
    own("ModifyInstancePlacement", UNKNOWN, InstanceId="{instance}", Affinity="default"),
    # It succeeds for each instance by itself, and for others' with none.
    Access(
        operation="ModifyInstanceCreditSpecification",
        request={
            "InstanceCreditSpecifications": [
                {"InstanceId": "{instance}", "CpuCredits": "unlimited"}
            ]
        },
        stranger=NOTHING,
        reader=NOTHING,
        shows="'SuccessfulInstanceCreditSpecifications': [{",
    ),
    # The same for everybody: nothing here has a product code or a link to EC2-Classic.
    Access(
        operation="ConfirmProductInstance",
        request={"InstanceId": "{instance}", "ProductCode": "774F4FF8"},
        stranger=SEES,
        reader=SEES,
        owner=SEES,
        shows="'Return': False",
    ),
    own("DescribeClassicLinkInstances", NOTHING, NOTHING, InstanceIds=["{instance}"]),
    own("CreateImage", UNKNOWN, InstanceId="{instance}", Name="theirs"),
    own("MonitorInstances", _GONE, InstanceIds=["{instance}"]),
    own("UnmonitorInstances", _GONE, InstanceIds=["{instance}"]),
    own(
        "ReportInstanceStatus",
        _GONE,
        Instances=["{instance}"],
        Status="impaired",
        ReasonCodes=["other"],
    ),
    own("GetPasswordData", _GONE, SEES, InstanceId="{instance}"),
    own("ResetInstanceAttribute", _GONE, InstanceId="{instance}", Attribute="sourceDestCheck"),
    own(
        "DescribeNetworkInterfaceAttribute",
        _NO_INTERFACE,
        SEES,
        NetworkInterfaceId="{interface}",
        Attribute="groupSet",
    ),
    own(
        "ModifyNetworkInterfaceAttribute",
        _NO_INTERFACE,
        NetworkInterfaceId="{interface}",
        SourceDestCheck={"Value": True},
    ),
)
