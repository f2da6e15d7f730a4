"""Every member of a request that names a resource is tried with one that is another's."""

import re
from collections.abc import Iterator
from typing import Any, Final

import botocore.session
import pytest

from openami.ec2.operations import OPERATIONS
from support.access import TABLES

_EC2: Final[Any] = botocore.session.get_session().get_service_model("ec2")
_NAMES_A_RESOURCE: Final = re.compile(
    r"(Ids?|(Key|Group|Template)Names?|Bucket|Groups|Instances|Resources)$"
)
_OF_NO_ACCOUNT: Final = re.compile(
    r"UseLongIds$|ZoneIds?$|(User|Account|Owner)Ids?$|MetricCategoryIds$"
    r"|^DescribePrincipalIdFormat\.Resources$"  # kinds of resources
    r"|^Modify(Image|Snapshot)Attribute\.(UserGroups|GroupNames)$"  # the group "all"
)
_NOT_HERE: Final = re.compile(
    r"KmsKey|Kernel|RamDisk|CapacityReservation|DedicatedHost|HostId|SecondaryInterfaces"
    r"|VpcPeering|PrefixList|UserIdGroupPairs\.VpcId|Placement\.Group|Placement\.GroupName"
    r"|BlockDeviceMappings\.Ebs\.VolumeId"
    r"|NetworkInterfaces\.NetworkInterfaceId"  # a launch makes its interface itself
)
"""What openami has none of, and says so."""

TRIED: Final = {
    (row.operation, row.foreign[0][0]) for rows in TABLES.values() for row in rows if row.foreign
}


def _members(shape: Any, path: str, outer: tuple[str, ...] = ()) -> Iterator[str]:
    """The paths of the texts in a request, as "A.B"; lists add nothing to them."""
    if shape.name in outer:
        return
    inner = (*outer, shape.name)
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from _members(member, f"{path}.{name}", inner)
    elif shape.type_name == "list":
        yield from _members(shape.member, path, inner)
    elif shape.type_name == "string":
        yield path


def _naming(operation: str) -> list[str]:
    shape = _EC2.operation_model(operation).input_shape
    heeded = OPERATIONS[operation].heeds
    found = [
        each
        for name, member in (shape.members if shape else {}).items()
        if name in heeded
        for each in _members(member, f"{operation}.{name}")
    ]
    return [
        path.partition(".")[2]
        for path in found
        if _NAMES_A_RESOURCE.search(path)
        and not _OF_NO_ACCOUNT.search(path)
        and not _NOT_HERE.search(path)
    ]


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_each_member_that_names_a_resource_has_a_row_with_one_of_another_account(
    operation: str,
) -> None:
    lacking = [path for path in _naming(operation) if (operation, path) not in TRIED]
    assert lacking == [], "add rows to tests/support/access in which only this is another's"
