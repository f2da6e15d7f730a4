"""What a stranger, a reader and the owner get of every operation that names a resource.

The tables are in tests/support/access, a file per noun.
"""

from collections.abc import Callable

import pytest

from support.access import TABLES
from support.access.row import OUTCOMES, Access
from support.access.world import AccessWorld, populated
from support.server import Server

ROWS = [row for rows in TABLES.values() for row in rows]


@pytest.fixture(scope="module")
def access(record_server: Server, small_ami_of: Callable[[str], str]) -> AccessWorld:
    return populated(record_server, small_ami_of("access-owner"))


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_stranger_reader_and_owner_get_what_is_theirs(access: AccessWorld, row: Access) -> None:
    for role in ("stranger", "reader", "owner"):
        assert access.outcome(row, role) == getattr(row, role), role


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.id) for row in ROWS if row.stranger not in OUTCOMES],
)
def test_a_stranger_cannot_tell_what_is_not_shared_from_what_never_was(
    access: AccessWorld, row: Access
) -> None:
    assert access.refusal(row, "stranger") == access.never().refusal(row, "stranger")


def test_each_row_is_there_once() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
