"""Wrong requests are refused in EC2's words, and change nothing.

The tables are in tests/support/bad_requests. Each row is sent as it is; the refusal is one of
the client's (4xx), in EC2's envelope, under EC2's code; and every record of the server and
every file in its state directory is the same before and after.
"""

from collections.abc import Mapping

import pytest

from support import api, raw
from support.bad_requests import (
    copies,
    event_windows,
    export_tasks,
    ids,
    images,
    imports,
    instance_options,
    knowing,
    launch_templates,
    launches,
    listings,
    network,
    retirement,
    sharing,
    storage,
    stored_images,
    volumes,
)
from support.bad_requests.row import Bad
from support.world import MINE, THEIRS, World

TABLES: Mapping[str, tuple[Bad, ...]] = {
    "malformed": ids.MALFORMED,
    "unknown": ids.UNKNOWN,
    "foreign": ids.FOREIGN,
    "launch": launches.LAUNCHES,
    "instance": launches.INSTANCES,
    "event window": event_windows.WINDOWS,
    "instance options": instance_options.OPTIONS,
    "template": launch_templates.TEMPLATES,
    "register": images.REGISTERED,
    "create": images.CREATED,
    "attribute": images.ATTRIBUTES,
    "tag": images.TAGS,
    "share": sharing.IMAGES,
    "share snapshot": sharing.SNAPSHOTS,
    "share settings": sharing.SETTINGS,
    "copy": copies.IMAGES,
    "copy snapshot": copies.SNAPSHOTS,
    "copy volume": copies.VOLUMES,
    "import": imports.IMPORTS,
    "storage": storage.STORAGE,
    "root": volumes.REPLACED,
    "change": volumes.CHANGED,
    "group": network.GROUPS,
    "key": network.KEYS,
    "reference": knowing.REFERENCES,
    "report": knowing.REPORTS,
    "filter": listings.FILTERS,
    "page": listings.PAGES,
    "form": listings.FORMS,
    "retirement": retirement.RETIREMENT,
    "store": stored_images.STORED,
    "restore": stored_images.RESTORED,
    "export": export_tasks.EXPORTED,
}
ROWS = [
    pytest.param(row, id=f"{table}: {row.why}") for table, rows in TABLES.items() for row in rows
]


@pytest.fixture(scope="module", autouse=True)
def _looked_at(world: World) -> None:
    world.changes()


@pytest.mark.parametrize("row", ROWS)
def test_a_wrong_request_is_refused_and_changes_nothing(world: World, row: Bad) -> None:
    keys = world.server.account(MINE)
    form = raw.form_of(row.operation, world.filled(row.request)) | dict(row.form or {})
    reply = raw.send(raw.signed(world.server, keys, form))
    assert 400 <= reply.status < 500, reply
    assert reply.code in row.code.split("|"), f"{reply.code}: {reply.message}"
    assert world.changes() == {}


def test_the_tables_name_each_request_once() -> None:
    named = [row.id for row in ROWS]
    assert len(named) == len(set(named))
    assert len(named) >= 150


def test_a_foreign_account_is_as_it_was(world: World) -> None:
    """What the rows asked of the other account's resources was not done to them."""
    theirs = world.server.client(account=THEIRS)
    names = world.names
    assert api.instance(theirs, names["foreign_instance"])["State"]["Name"] == "running"
    assert api.image(theirs, names["foreign_image"])["Public"] is False
    assert api.image(theirs, names["foreign_public_image"])["Name"] == "public"
    assert api.volume(theirs, names["foreign_volume"])["State"] == "available"
    assert theirs.describe_tags()["Tags"] == []
    (group,) = theirs.describe_security_groups(GroupIds=[names["foreign_group"]])["SecurityGroups"]
    assert [each["IpProtocol"] for each in group["IpPermissions"]] == ["-1"]
