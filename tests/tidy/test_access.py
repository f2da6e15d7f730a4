"""Every operation says in tests/support/access what strangers, readers and owners get."""

from collections.abc import Mapping

import pytest

from openami.dlm.operations import OPERATIONS as DLM
from openami.ebs.operations import OPERATIONS as EBS
from openami.ec2.operation import Operation
from openami.ec2.operations import OPERATIONS as EC2
from openami.rbin.operations import OPERATIONS as RBIN
from openami.ssm.operations import OPERATIONS as SSM
from support.access import NAMELESS, TABLES

ANSWERED: Mapping[str, Mapping[str, Operation]] = {
    "ec2": EC2,
    "ssm": SSM,
    "dlm": DLM,
    "rbin": RBIN,
    "ebs": EBS,
}
# There are no roles or users, and UseLongIds is no id.
OF_NO_ACCOUNT = {"ZoneIds", "ExecutionRoleArn", "PrincipalArn", "UseLongIds"}
EVERY = [(service, name) for service, operations in ANSWERED.items() for name in operations]


@pytest.mark.parametrize(("service", "name"), EVERY)
def test_an_operation_has_its_row_or_names_nothing(service: str, name: str) -> None:
    tabled = {row.operation for rows in TABLES.values() for row in rows if row.service == service}
    assert name in tabled | NAMELESS[service], f"add a row for {name} in tests/support/access"
    assert not (name in tabled and name in NAMELESS[service]), f"{name} is in both"


@pytest.mark.parametrize(
    ("service", "name"), [each for each in EVERY if each[1] in NAMELESS[each[0]]]
)
def test_what_is_said_to_name_nothing_takes_no_id(service: str, name: str) -> None:
    heeded = ANSWERED[service][name].heeds - OF_NO_ACCOUNT
    assert [each for each in heeded if each.endswith(("Id", "Ids", "Arn", "Arns"))] == []


def test_no_row_is_of_an_operation_that_is_not_answered() -> None:
    tabled = {(row.service, row.operation) for rows in TABLES.values() for row in rows}
    assert tabled <= set(EVERY)
