"""An image with two disks, and buckets, for tests of what goes into them and comes out."""

import json
from typing import Any, Final

from openami.blockstore.archive import Source, head, text_of
from openami.blockstore.ingest import ingest_file
from openami.catalog import buckets
from openami.domain.bucket import Bucket
from openami.domain.ids import AccountId, Region
from openami.services import Services
from support.asking import put, put_accounts
from support.blocks import a_disk
from support.builders import ALICE, BOB, CAROL, HERE, THERE, a_device, a_snapshot, an_image
from support.objects import MemoryObjects

MINE, THEIRS, ELSEWHERE = "mine-here", "theirs-here", "mine-elsewhere"
ROOT: Final = {0: "a", 5: "b", 300: "c"}
DATA: Final = {0: "a", 7: "d"}
SECOND: Final = "snap-00000000000000002"
BLOCK_BYTES: Final = 512 * 1024


def stored(svc: Services, content: dict[int, str]) -> str:
    """The root of a disk of 1 GiB with this content."""
    blocks = {index: sign.encode() * BLOCK_BYTES for index, sign in content.items()}
    disk = a_disk(svc.settings.state_dir / "disk", blocks, 1 << 30)
    return ingest_file(svc.stores[HERE], disk).to_text()


def with_an_image_and_buckets(svc: Services, **image: Any) -> None:
    put_accounts(svc, ALICE, BOB, CAROL)
    a_bucket(svc, MINE)
    a_bucket(svc, THEIRS, BOB)
    a_bucket(svc, ELSEWHERE, region=THERE)
    devices = (a_device(), a_device("/dev/sdb", snapshot_id=SECOND, delete_on_termination=False))
    put(
        svc,
        a_snapshot(root=stored(svc, ROOT)),
        a_snapshot(id=SECOND, root=stored(svc, DATA)),
        an_image(**{"block_device_mappings": devices, "boot_mode": "uefi", **image}),
    )


def a_bucket(svc: Services, name: str, owner: AccountId = ALICE, region: Region = HERE) -> None:
    objects(svc).buckets.add(name)
    with svc.catalog.begin() as tx:
        buckets.add(tx, Bucket(name=name, region=region, owner=owner, created_at=svc.clock.now()))


def objects(svc: Services) -> MemoryObjects:
    assert isinstance(svc.objects, MemoryObjects)
    return svc.objects


def told_in(data: bytes) -> dict[str, Any]:
    """The document at the head of a stored image."""
    return json.loads(text_of(Source([data])))


def told_otherwise(data: bytes, document: Any) -> bytes:
    """The same object with another document at its head, its digest right."""
    text = text_of(Source([data]))
    return head(json.dumps(document).encode()) + data[len(head(text)) :]
