"""Resource ids, and the two things no pure function may reach for itself: time and chance.

The form of an id (a prefix and 17 hex digits, 8 before 2016) is EC2's:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
"""

import re
from datetime import datetime
from typing import Final, NewType, Protocol

from openami.domain.errors import EC2Error, MalformedId

AccountId = NewType("AccountId", str)
Region = NewType("Region", str)
ImageId = NewType("ImageId", str)
SnapshotId = NewType("SnapshotId", str)
VolumeId = NewType("VolumeId", str)
InstanceId = NewType("InstanceId", str)
ReservationId = NewType("ReservationId", str)
VpcId = NewType("VpcId", str)
SubnetId = NewType("SubnetId", str)
SecurityGroupId = NewType("SecurityGroupId", str)
SecurityGroupRuleId = NewType("SecurityGroupRuleId", str)
NetworkInterfaceId = NewType("NetworkInterfaceId", str)
LaunchTemplateId = NewType("LaunchTemplateId", str)
KeyPairId = NewType("KeyPairId", str)
OrganizationId = NewType("OrganizationId", str)
OrganizationArn = NewType("OrganizationArn", str)  # of an organization or of a unit in one
EventWindowId = NewType("EventWindowId", str)
ReplaceRootVolumeTaskId = NewType("ReplaceRootVolumeTaskId", str)
ExportTaskId = NewType("ExportTaskId", str)
StoreImageTaskId = NewType("StoreImageTaskId", str)  # our own: EC2 tells none
ImageUsageReportId = NewType("ImageUsageReportId", str)

# EC2 still honours the eight-digit ids it issued before 2016.
_DIGITS: Final = re.compile(r"[0-9a-f]{8}|[0-9a-f]{17}")

_MALFORMED_CODE: Final = {
    "ami": "InvalidAMIID.Malformed",
    "snap": "InvalidSnapshotID.Malformed",
    "vol": "InvalidVolumeID.Malformed",
    "i": "InvalidInstanceID.Malformed",
    "vpc": "InvalidVpcID.Malformed",
    "subnet": "InvalidSubnetID.Malformed",
    "sg": "InvalidGroupId.Malformed",
    "sgr": "InvalidSecurityGroupRuleId.Malformed",
    "eni": "InvalidNetworkInterfaceId.Malformed",
    "key": "InvalidKeyPair.Format",
    "r": "InvalidReservationID.Malformed",
    "export-ami": "InvalidExportTaskID.Malformed",
    "export-i": "InvalidExportTaskID.Malformed",
    "replacevol": "InvalidReplaceRootVolumeTaskId.Malformed",
    "iew": "InvalidInstanceEventWindowID.Malformed",
    "lt": "InvalidLaunchTemplateId.Malformed",
    "amiur": "InvalidImageUsageReportId.Malformed",
}


def is_id(prefix: str, text: str) -> bool:
    head, dash, digits = text.rpartition("-")
    return head == prefix and bool(dash) and _DIGITS.fullmatch(digits) is not None


def _parsed(prefix: str, text: str) -> str:
    if not is_id(prefix, text):
        raise MalformedId(_MALFORMED_CODE[prefix], prefix, text)
    return text


def parse_image_id(text: str) -> ImageId:
    return ImageId(_parsed("ami", text))


def parse_snapshot_id(text: str) -> SnapshotId:
    return SnapshotId(_parsed("snap", text))


def parse_volume_id(text: str) -> VolumeId:
    return VolumeId(_parsed("vol", text))


def parse_instance_id(text: str) -> InstanceId:
    return InstanceId(_parsed("i", text))


def parse_vpc_id(text: str) -> VpcId:
    return VpcId(_parsed("vpc", text))


def parse_subnet_id(text: str) -> SubnetId:
    return SubnetId(_parsed("subnet", text))


def parse_security_group_id(text: str) -> SecurityGroupId:
    return SecurityGroupId(_parsed("sg", text))


def parse_security_group_rule_id(text: str) -> SecurityGroupRuleId:
    return SecurityGroupRuleId(_parsed("sgr", text))


def parse_network_interface_id(text: str) -> NetworkInterfaceId:
    return NetworkInterfaceId(_parsed("eni", text))


def parse_key_pair_id(text: str) -> KeyPairId:
    return KeyPairId(_parsed("key", text))


def parse_replace_root_volume_task_id(text: str) -> ReplaceRootVolumeTaskId:
    return ReplaceRootVolumeTaskId(_parsed("replacevol", text))


def parse_event_window_id(text: str) -> EventWindowId:
    return EventWindowId(_parsed("iew", text))


def parse_export_task_id(text: str) -> ExportTaskId:
    """Of an image's export, or of an instance's."""
    prefix = "export-i" if text.startswith("export-i-") else "export-ami"
    return ExportTaskId(_parsed(prefix, text))


def parse_launch_template_id(text: str) -> LaunchTemplateId:
    return LaunchTemplateId(_parsed("lt", text))


def parse_image_usage_report_id(text: str) -> ImageUsageReportId:
    return ImageUsageReportId(_parsed("amiur", text))


def parse_account_id(text: str) -> AccountId:
    """Twelve digits. Raises InvalidUserID.Malformed."""
    if re.fullmatch(r"[0-9]{12}", text) is None:
        raise EC2Error.of("InvalidUserID.Malformed", f'Invalid user id: "{text}"')
    return AccountId(text)


class Clock(Protocol):
    """Time as the caller of this process sees it: aware, UTC."""

    def now(self) -> datetime: ...


class Ids(Protocol):
    """Chance. `new("ami")` is a fresh EC2 id; `token()` is unguessable text for secrets."""

    def new(self, prefix: str) -> str: ...
    def request_id(self) -> str: ...
    def token(self, byte_count: int) -> str: ...
