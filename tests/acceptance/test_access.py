"""What a stranger, a reader and the owner get of every operation that names a resource.

The tables are in tests/support/access, a file per noun.
"""

from collections.abc import Callable

import botocore.session
import pytest

from openami.ec2.operations import OPERATIONS
from support.access import TABLES, former
from support.access.row import MAY, NOTHING, OWN, ROLES, Access, members, own
from support.access.world import FORMER, AccessWorld, populated
from support.server import Server

ROWS = [row for rows in TABLES.values() for row in rows]
_EC2 = botocore.session.get_session().get_service_model("ec2")
LISTINGS = sorted(
    name
    for name in OPERATIONS
    if name.startswith(("Describe", "List"))
    and not _EC2.operation_model(name).input_shape.required_members
)


@pytest.fixture(scope="module")
def access(record_server: Server, small_ami_of: Callable[[str], str]) -> AccessWorld:
    return populated(record_server, small_ami_of("access-owner"))


@pytest.fixture(scope="module")
def never(access: AccessWorld) -> AccessWorld:
    return access.never()


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_stranger_reader_and_owner_get_what_is_theirs(
    access: AccessWorld, never: AccessWorld, row: Access
) -> None:
    """What one sees nothing of is as what never was, while it is there: the owner comes last."""
    for role in ROLES:
        expected = row.expected(role)
        answer = access.ask(row, role, dry=expected == MAY)
        assert answer.outcome(expected, access.shown(row, role)) == expected, (role, answer)
        for hidden in access.hidden(row):
            assert (hidden in answer.text) == (role == "owner"), (role, answer)
        if row.is_blind(role):
            told = answer.without(access.every_name(role))
            assert told == never.told(row, role, dry=expected == MAY), role


def _shared_rows() -> list[Access]:
    """Those of which the reader gets more, and which name nothing else of the owner's."""
    return [
        row
        for row in ROWS
        if row.reader != row.stranger
        and (names := {name for _, name in members(row.request)}) & set(FORMER)
        and all(name in FORMER or name.startswith(OWN) for name in names)
    ]


@pytest.mark.parametrize("row", _shared_rows(), ids=[row.id for row in _shared_rows()])
def test_who_was_a_reader_once_is_a_stranger_again(
    access: AccessWorld, never: AccessWorld, row: Access
) -> None:
    world = access.taken_back()
    for role in ("reader", "stranger"):
        answer = world.ask(row, role, dry=row.stranger == MAY)
        outcome = answer.outcome(row.stranger, world.shown(row, role))
        assert outcome == row.stranger, (role, answer)
        told = answer.without(world.every_name(role))
        assert told == never.told(row, role, dry=row.stranger == MAY), role


@pytest.mark.parametrize("row", former.ROWS, ids=[row.id for row in former.ROWS])
def test_what_a_reader_has_made_gives_it_nothing_of_what_was_taken_back(
    access: AccessWorld, row: Access
) -> None:
    answer = access.ask(row, "reader", dry=row.reader != NOTHING)
    assert answer.outcome(row.reader, access.shown(row, "reader")) == row.reader, answer


@pytest.mark.parametrize("operation", LISTINGS)
def test_a_listing_of_all_there_is_names_nothing_of_another_account(
    access: AccessWorld, operation: str
) -> None:
    answer = access.ask(own(operation, ""), "stranger", dry=False)
    assert [name for name in access.ids() if name in answer.text] == []


def test_each_row_is_there_once() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
