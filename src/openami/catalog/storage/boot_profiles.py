"""Boot profiles in SQL, by content: all snapshots of one root, so all copies of an image, have one.

It goes with the last of these snapshots, at the latest when another profile is kept.
"""

import json
from collections.abc import Sequence
from typing import Final

from sqlalchemy import delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import boot_profiles, snapshots
from openami.domain.manifest import Root

C: Final = boot_profiles.c


def find(tx: Transaction, root: Root) -> Sequence[int]:
    """Blocks of the disk in the order of their first read; none if nobody has recorded it."""
    found = tx.execute(select(C.blocks).where(C.disk == root.to_text())).scalar()
    return [] if found is None else json.loads(found)


def save(tx: Transaction, root: Root, blocks: Sequence[int]) -> None:
    """Keep it as long as there is a snapshot with this content."""
    tx.execute(delete(boot_profiles).where(C.disk == root.to_text()))
    tx.execute(insert(boot_profiles).values(disk=root.to_text(), blocks=json.dumps(list(blocks))))
    there = select(snapshots.c.root).where(snapshots.c.root.is_not(None))
    tx.execute(delete(boot_profiles).where(C.disk.not_in(there)))
