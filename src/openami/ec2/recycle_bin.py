"""What is in the Recycle Bin, and its restoration. Its rules are the service rbin's."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from openami.actions import recycle_bin as actions
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue
from openami.domain.ids import parse_image_id, parse_snapshot_id, parse_volume_id
from openami.domain.image import Image
from openami.domain.recycle_bin import Binned
from openami.domain.snapshot import Snapshot
from openami.domain.volume import Volume
from openami.domain.zone import zone_id
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import one_more, page, paged
from openami.services import Services

T = TypeVar("T", Image, Snapshot, Volume)

IMAGE_IDS_MAX: Final = 20


def _listing(
    kind: actions.Kind[T],
    noun: str,
    parse: Callable[[str], str],
    bounds: tuple[int, int],
    answer: Callable[[Binned, T], dict[str, Any]],
) -> Operation:
    """The operation that lists what is in the bin of this kind, in pages within the bounds."""
    named = f"{noun}Ids"

    def listed(svc: Services, caller: Caller, request: Request) -> Result:
        asked = page(request, *bounds, ids=named)
        ids = tuple(parse(text) for text in request.get(named, ()))
        if noun == "Image" and len(ids) > IMAGE_IDS_MAX:
            raise InvalidParameterValue(f"At most {IMAGE_IDS_MAX} image ids may be given")
        found = dict(actions.list_in_recycle_bin(svc, caller, kind, ids, one_more(asked)))
        shown, token = paged(tuple(found), asked, "resource_id")
        return {f"{noun}s": [answer(each, found[each]) for each in shown], **token}

    return operation(listed, named, "MaxResults", "NextToken")


def _image(thing: Binned, image: Image) -> dict[str, Any]:
    return _bare(
        {
            "ImageId": image.id,
            "Name": image.name,
            "Description": image.description,
            **_times(thing),
        }
    )


def _snapshot(thing: Binned, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "SnapshotId": snapshot.id,
        "Description": snapshot.description,
        "VolumeId": snapshot.volume_id,
        **_times(thing),
    }


def _volume(thing: Binned, volume: Volume) -> dict[str, Any]:
    return _bare(
        {
            "VolumeId": volume.id,
            "VolumeType": volume.volume_type,
            "State": thing.was,
            "Size": volume.size_gib,
            "Iops": volume.effective_iops,
            "Throughput": volume.effective_throughput,
            "AvailabilityZone": volume.availability_zone,
            "AvailabilityZoneId": zone_id(volume.availability_zone),
            "SnapshotId": volume.snapshot_id or "",
            "Operator": {"Managed": False},
            "CreateTime": volume.created_at,
            **_times(thing),
        }
    )


def _times(thing: Binned) -> dict[str, Any]:
    return {"RecycleBinEnterTime": thing.entered_at, "RecycleBinExitTime": thing.exits_at}


def _bare(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if value is not None}


def restore_image(svc: Services, caller: Caller, request: Request) -> Result:
    actions.restore_image_from_recycle_bin(svc, caller, parse_image_id(request["ImageId"]))
    return {"Return": True}


def restore_snapshot(svc: Services, caller: Caller, request: Request) -> Result:
    snapshot_id = parse_snapshot_id(request["SnapshotId"])
    snapshot = actions.restore_snapshot_from_recycle_bin(svc, caller, snapshot_id)
    return {
        "SnapshotId": snapshot.id,
        "Description": snapshot.description,
        "Encrypted": False,
        "OwnerId": snapshot.owner,
        "Progress": f"{snapshot.progress_percent}%",
        "StartTime": snapshot.started_at,
        "State": snapshot.state,
        "VolumeId": snapshot.volume_id,
        "VolumeSize": snapshot.volume_size_gib,
    }


def restore_volume(svc: Services, caller: Caller, request: Request) -> Result:
    actions.restore_volume_from_recycle_bin(svc, caller, parse_volume_id(request["VolumeId"]))
    return {"Return": True}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "ListImagesInRecycleBin": _listing(actions.IMAGES, "Image", parse_image_id, (1, 1000), _image),
    "ListSnapshotsInRecycleBin": _listing(
        actions.SNAPSHOTS, "Snapshot", parse_snapshot_id, (5, 1000), _snapshot
    ),
    "ListVolumesInRecycleBin": _listing(
        actions.VOLUMES, "Volume", parse_volume_id, (5, 500), _volume
    ),
    "RestoreImageFromRecycleBin": operation(restore_image, "ImageId"),
    "RestoreSnapshotFromRecycleBin": operation(restore_snapshot, "SnapshotId"),
    "RestoreVolumeFromRecycleBin": operation(restore_volume, "VolumeId"),
}
