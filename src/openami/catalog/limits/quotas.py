"""How much of each quota an account has in a region."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import ColumnElement, FromClause, Table, and_, func, literal, not_, or_, select

from openami.catalog import import_tasks
from openami.catalog.catalog import Transaction
from openami.catalog.instances import LIVE
from openami.catalog.schema import (
    binned,
    event_windows,
    images,
    instances,
    key_pairs,
    launch_templates,
    retention_rules,
    snapshots,
    volumes,
)
from openami.catalog.schema import volume_modifications as modifications
from openami.domain.ids import AccountId, Region
from openami.domain.image import ImageState
from openami.domain.instance_type import known_type
from openami.domain.limits.quota import Quota
from openami.domain.volume_modification import ModificationState

_IN_BIN: Final = select(binned.c.resource_id)
_COUNTED: Final[Mapping[Quota, tuple[Table, ColumnElement[bool]]]] = {
    # Those in the Recycle Bin count, as with EC2.
    Quota.IMAGES: (
        images,
        or_(images.c.state != ImageState.DEREGISTERED, images.c.id.in_(_IN_BIN)),
    ),
    Quota.PUBLIC_IMAGES: (
        images,
        and_(images.c.public, images.c.state != ImageState.DEREGISTERED),
    ),
    Quota.SNAPSHOTS: (snapshots, and_(True)),
    Quota.INSTANCES: (instances, instances.c.state.in_(LIVE)),
    Quota.LAUNCH_TEMPLATES: (launch_templates, and_(True)),
    Quota.KEY_PAIRS: (key_pairs, and_(True)),
    Quota.EVENT_WINDOWS: (event_windows, and_(True)),
    Quota.RETENTION_RULES: (retention_rules, and_(True)),
}


def _of(table: FromClause, account: AccountId, region: Region) -> ColumnElement[bool]:
    return and_(table.c.owner == account, table.c.region == region)


def held(tx: Transaction, quota: Quota, account: AccountId, region: Region, most: int) -> int:
    """How many the account has; when they are more than `most`, any number beyond it."""
    if quota is Quota.STORAGE_GIB:
        return _storage_gib(tx, account, region)
    if quota is Quota.VCPUS:
        return _vcpus(tx, account, region)
    table, counts = _COUNTED[quota]
    some = select(literal(1)).where(_of(table, account, region), counts).limit(most + 1)
    there = tx.scalar(select(func.count()).select_from(some.subquery())) or 0
    return there + _promised(tx, quota, account, region)


def _promised(tx: Transaction, quota: Quota, account: AccountId, region: Region) -> int:
    """What the account's imports will bring. Once it is there, they have ended."""
    if quota not in (Quota.IMAGES, Quota.SNAPSHOTS):
        return 0
    running = import_tasks.active(tx, account, region)
    if quota is Quota.IMAGES:
        return sum(task.makes_image for task in running)
    return sum(task.makes_snapshots for task in running)


def _storage_gib(tx: Transaction, account: AccountId, region: Region) -> int:
    alive = not_(volumes.c.id.in_(_IN_BIN))
    total = select(func.sum(volumes.c.size_gib)).where(_of(volumes, account, region), alive)
    growing = select(
        func.sum(modifications.c.target_size_gib - modifications.c.original_size_gib)
    ).where(
        _of(modifications, account, region),
        modifications.c.state == ModificationState.MODIFYING,
    )
    return (tx.scalar(total) or 0) + (tx.scalar(growing) or 0)


def _vcpus(tx: Transaction, account: AccountId, region: Region) -> int:
    query = select(instances.c.instance_type, func.count(literal(1))).where(
        _of(instances, account, region), instances.c.state.in_(LIVE)
    )
    rows = tx.execute(query.group_by(instances.c.instance_type))
    return sum(known_type(name).vcpus * count for name, count in rows)
