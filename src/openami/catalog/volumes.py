"""Volumes in SQL, each with its attachment: the two are read and written together."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    case,
    delete,
    false,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy import update as sql_update

from openami.catalog import filters, prepared, volume_modifications
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import attachments, volumes
from openami.domain.caller import Caller
from openami.domain.errors import VolumeNotFound
from openami.domain.filter import Filter, Page
from openami.domain.ids import AccountId, InstanceId, Region, VolumeId
from openami.domain.volume import Attachment, AttachmentState, Volume, VolumeState
from openami.domain.zone import zones_by_id

C: Final = volumes.c
_LINK: Final = attachments.c.volume_id == C.id
_PREFIX: Final = "attachment_"
_SAVE: Final = sql_update(volumes).where(C.id == bindparam("its_id"))  # as in catalog/instances.py

FILTERS: Final[Mapping[str, Condition]] = {
    # A query for volumes joins their attachments, so these are columns of its rows.
    "attachment.attach-time": filters.instant(attachments.c.attached_at),
    "attachment.delete-on-termination": filters.column(
        case(
            (attachments.c.delete_on_termination.is_(None), None),
            (attachments.c.delete_on_termination, "true"),
            else_="false",
        )
    ),
    "attachment.device": filters.column(attachments.c.device_name),
    "attachment.instance-id": filters.column(attachments.c.instance_id),
    "attachment.status": filters.column(attachments.c.state),
    "availability-zone": filters.column(C.availability_zone),
    "create-time": filters.instant(C.created_at),
    "encrypted": filters.column(literal("false")),
    "fast-restored": filters.column(case((C.fast_restored, "true"), else_="false")),
    "multi-attach-enabled": filters.column(literal("false")),
    "operator.managed": filters.column(literal("false")),
    "operator.principal": lambda _values: false(),
    "size": filters.column(C.size_gib),
    "snapshot-id": filters.column(C.snapshot_id),
    "status": filters.column(C.state),
    "volume-id": filters.column(C.id),
    "volume-type": filters.column(C.volume_type),
}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVolumes.html"""


def status_filters(stalled: Collection[VolumeId]) -> Mapping[str, Condition]:
    """Those of DescribeVolumeStatus; the host knows which volumes are stalled.

    No status has any event or action. Source:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVolumeStatus.html
    """
    status = case(
        (or_(C.state == VolumeState.ERROR, C.id.in_(stalled)), "impaired"),
        (C.state.in_((VolumeState.AVAILABLE, VolumeState.IN_USE)), "ok"),
        else_="insufficient-data",
    )
    return {
        **{
            name: lambda _values: false()
            for name in (
                *("action.code", "action.description", "action.event-id"),
                *("attachment-status.io-performance", "event.description", "event.event-id"),
                *("event.event-type", "event.not-after", "event.not-before"),
            )
        },
        "attachment-status.instance-id": filters.column(attachments.c.instance_id),
        "availability-zone": filters.column(C.availability_zone),
        "volume-status.details-name": filters.column(literal("io-enabled")),
        "volume-status.details-status": filters.column(
            case((status == "ok", "passed"), else_="failed")
        ),
        "volume-status.status": filters.column(status),
    }


_WHOLE: Final = (
    *volumes.columns,
    *(
        column.label(f"{_PREFIX}{column.name}")
        for column in attachments.columns
        if column is not attachments.c.volume_id
    ),
)


def _query(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(*_WHOLE).join(attachments, _LINK, isouter=True).where(*conditions)


_OF_INSTANCES: Final = prepared.Prepared(
    _query(attachments.c.instance_id.in_(prepared.IDS)).order_by(attachments.c.device_name)
)


def _volume(row: Mapping[str, Any]) -> Volume:
    own: dict[str, Any] = {}
    its: dict[str, Any] = {}
    for name, value in row.items():
        if name.startswith(_PREFIX):
            its[name.removeprefix(_PREFIX)] = value
        else:
            own[name] = value
    attachment = None if its["instance_id"] is None else Attachment(**its)
    return Volume(**own, attachment=attachment)


def _found(tx: Transaction, query: Select[Any]) -> list[Volume]:
    return [_volume({str(name): row[name] for name in row}) for row in tx.execute(query).mappings()]


def _row(volume: Volume) -> dict[str, Any]:
    return {column.name: getattr(volume, column.name) for column in volumes.columns}


def _of(account: AccountId, region: Region) -> ColumnElement[bool]:
    """What is in the Recycle Bin is there only for that."""
    in_bin = C.state == VolumeState.RECYCLED
    return (C.owner == account) & (C.region == region) & ~in_bin


def add(tx: Transaction, volume: Volume) -> None:
    tx.execute(insert(volumes), _row(volume))
    _write_attachment(tx, volume)


def save(tx: Transaction, volume: Volume) -> None:
    """Write a changed volume, with the attachment it has now or has no more."""
    tx.execute(_SAVE, {**_row(volume), "its_id": volume.id})
    tx.execute(delete(attachments).where(attachments.c.volume_id == volume.id))
    _write_attachment(tx, volume)


def _write_attachment(tx: Transaction, volume: Volume) -> None:
    its = volume.attachment
    if its is None:
        return
    tx.execute(
        insert(attachments),
        {
            "volume_id": volume.id,
            "instance_id": its.instance_id,
            "device_name": its.device_name,
            "state": its.state,
            "attached_at": its.attached_at,
            "delete_on_termination": its.delete_on_termination,
        },
    )


def remove(tx: Transaction, volume_id: VolumeId) -> None:
    tx.execute(delete(attachments).where(attachments.c.volume_id == volume_id))
    volume_modifications.remove_of(tx, volume_id)
    tx.execute(delete(volumes).where(C.id == volume_id))


def fetch_owned(tx: Transaction, volume_id: VolumeId, account: AccountId, region: Region) -> Volume:
    """Raises VolumeNotFound."""
    found = _found(tx, _query(_of(account, region), C.id == volume_id))
    if not found:
        raise VolumeNotFound(volume_id)
    return found[0]


def fetch_any(tx: Transaction, volume_id: VolumeId) -> Volume | None:
    """For workflows: whoever owns it; None if it is gone."""
    found = _found(tx, _query(C.id == volume_id))
    return found[0] if found else None


def all_roots(tx: Transaction, region: Region) -> set[str]:
    """What the region's volumes lie on: to be readable even where the snapshot is gone."""
    query = select(C.root).where(C.root.is_not(None), C.region == region).distinct()
    return {str(root) for root in tx.scalars(query)}


def regions(tx: Transaction) -> set[Region]:
    """Where there are any."""
    return set(tx.scalars(select(C.region).distinct()))


def known(tx: Transaction, volume_ids: Collection[VolumeId]) -> set[VolumeId]:
    """Those that have a row."""
    return {VolumeId(each) for each in tx.scalars(select(C.id)) if each in volume_ids}


def in_state(tx: Transaction, *states: VolumeState) -> list[Volume]:
    """For sweeps: every volume of the host in one of the states."""
    return _found(tx, _query(C.state.in_(states)).order_by(C.id))


def being_copied(tx: Transaction, source_id: VolumeId | None = None) -> list[Volume]:
    """For workflows: copies, of one volume or of any, that do not have their content yet."""
    query = _query(
        C.state == VolumeState.CREATING, C.source_volume_id.is_not(None), C.root.is_(None)
    )
    if source_id is not None:
        query = query.where(C.source_volume_id == source_id)
    return _found(tx, query.order_by(C.id))


def with_attachment(tx: Transaction, state: AttachmentState) -> list[Volume]:
    """For sweeps: every volume of the host whose attachment is in the state."""
    return _found(tx, _query(attachments.c.state == state).order_by(C.id))


def of_instance(tx: Transaction, instance_id: InstanceId) -> list[Volume]:
    """The instance's volumes by device name, whatever the state of their attachment."""
    return of_instances(tx, [instance_id]).get(instance_id, [])


def of_instances(
    tx: Transaction, instance_ids: Iterable[InstanceId]
) -> dict[InstanceId, list[Volume]]:
    """Instance id → its volumes by device name; instances without any are absent."""
    found: dict[InstanceId, list[Volume]] = {}
    for row in _OF_INSTANCES.rows_of(tx, instance_ids):
        volume = _volume(prepared.fields(row))
        if volume.attachment is not None:
            found.setdefault(volume.attachment.instance_id, []).append(volume)
    return found


def describe(
    tx: Transaction,
    caller: Caller,
    volume_ids: Sequence[VolumeId],
    conditions: Sequence[Filter],
    page: Page,
    known: Mapping[str, Condition] = FILTERS,
) -> list[Volume]:
    """The caller's volumes in the region, by id. Raises VolumeNotFound for ids not theirs."""
    mine = _of(caller.account, caller.region)
    by_name = [_by_zone_name(each, caller.region) for each in conditions]
    query = _query(mine, filters.where(by_name, known, C.id, caller.account))
    if volume_ids:
        wanted = list(dict.fromkeys(volume_ids))
        found = set(tx.scalars(select(C.id).where(mine, C.id.in_(wanted))))
        missing = [each for each in wanted if each not in found]
        if missing:
            raise VolumeNotFound(*missing)
        query = query.where(C.id.in_(wanted))
    if page.after is not None:
        query = query.where(C.id > page.after)
    return _found(tx, query.order_by(C.id).limit(page.limit))


def _by_zone_name(each: Filter, region: Region) -> Filter:
    """A volume knows the name of its zone only; the ids follow from the names."""
    if each.name != "availability-zone-id":
        return each
    return Filter(name="availability-zone", values=zones_by_id(each.values, region))
