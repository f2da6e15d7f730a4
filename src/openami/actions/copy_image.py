"""CopyImage: an image of any region, and its snapshots, as the caller's own in this one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from openami.actions import copy_snapshot
from openami.actions.create_image import Noting
from openami.actions.images import check_new
from openami.catalog import idempotency, images, snapshots, tags
from openami.catalog.catalog import Transaction
from openami.domain.block_device import BlockDeviceMapping
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidRequest, SnapshotNotFound
from openami.domain.idempotency import ClientToken
from openami.domain.ids import ImageId, SnapshotId
from openami.domain.image import Image, ImageState
from openami.domain.snapshot import Snapshot
from openami.domain.tag import is_reserved
from openami.services import Services
from openami.workflows import copy_image as workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCopying:
    """What CopyImage is told."""

    source_region: str
    source_image_id: ImageId
    name: str
    description: str | None = None
    copy_tags: bool = False
    image_tags: Mapping[str, str] = field(default_factory=dict[str, str])
    snapshot_tags: Mapping[str, str] = field(default_factory=dict[str, str])
    token: ClientToken | None = None


def copy_image(
    svc: Services, caller: Caller, asked: ImageCopying, noting: Noting = lambda _tx, _image: None
) -> ImageId:
    """A pending image in the caller's region, owned by the caller and shared with nobody."""
    region = copy_snapshot.checked_region(svc, asked.source_region)
    with svc.catalog.begin() as tx:
        earlier = idempotency.earlier(tx, caller, asked.token)
        if earlier is not None:
            return ImageId(earlier)
        now = svc.clock.now()
        source = images.fetch_usable(tx, asked.source_image_id, caller.account, region, now)
        check_state(source)
        check_new(svc, tx, caller, asked.name)
        copy_snapshot.check_room(svc, tx, caller)
        image_id = ImageId(svc.ids.new("ami"))
        copied = _begun(svc, tx, caller, source, image_id)
        image = _image(svc, caller, asked, source, image_id, copied)
        images.add(tx, image)
        _tag(tx, caller, asked, source, image_id, list(copied.values()))
        idempotency.remember(tx, caller, asked.token, image_id, now)
        noting(tx, image)
    job_id = workflow.start(svc, image_id, caller.account, list(copied.values()))
    svc.jobs.wait(job_id, svc.settings.settle_timeout_s)
    return image_id


def check_state(source: Image) -> None:
    """Raises InvalidAMIID.Unavailable for an image that has no content to copy."""
    if source.state not in (ImageState.AVAILABLE, ImageState.DISABLED):
        raise EC2Error.of(
            "InvalidAMIID.Unavailable",
            f"The AMI ID '{source.id}' is currently {source.state} and may not be used for this"
            " operation",
        )


def _begun(
    svc: Services, tx: Transaction, caller: Caller, source: Image, image_id: ImageId
) -> dict[SnapshotId, SnapshotId]:
    """The source's snapshots → their pending copies."""
    named = [each.ebs.snapshot_id for each in source.block_device_mappings if each.ebs is not None]
    found: dict[SnapshotId, SnapshotId] = {}
    for snapshot_id in dict.fromkeys(each for each in named if each is not None):
        told_ms = int(svc.clock.now().timestamp() * 1000)
        description = (
            f"Copied for DestinationAmi {image_id} from SourceAmi {source.id}"
            f" for SourceSnapshot {snapshot_id}. Task created on {told_ms:,}."
        )
        snapshot = readable(tx, caller, source, snapshot_id)
        found[snapshot_id] = copy_snapshot.begin(
            svc, tx, caller, snapshot, description, image_id
        ).id
    return found


def readable(tx: Transaction, caller: Caller, source: Image, snapshot_id: SnapshotId) -> Snapshot:
    """A launch permission lends an image's content to machines, not to its copies."""
    try:
        return snapshots.fetch_visible(tx, snapshot_id, caller.account, source.region)
    except SnapshotNotFound:
        raise InvalidRequest(
            "You do not have permission to access the storage of this ami"
        ) from None


def _image(
    svc: Services,
    caller: Caller,
    asked: ImageCopying,
    source: Image,
    image_id: ImageId,
    copied: Mapping[SnapshotId, SnapshotId],
) -> Image:
    """What the disks are comes along; what the source's owner decided about it does not."""
    return Image(
        id=image_id,
        region=caller.region,
        owner=caller.account,
        name=asked.name,
        state=ImageState.PENDING,
        root_device_name=source.root_device_name,
        block_device_mappings=tuple(
            _mapping(each, copied) for each in source.block_device_mappings
        ),
        created_at=svc.clock.now(),
        description=asked.description,
        location=f"{caller.account}/{asked.name}",
        architecture=source.architecture,
        virtualization_type=source.virtualization_type,
        boot_mode=source.boot_mode,
        ena_support=source.ena_support,
        sriov_net_support=source.sriov_net_support,
        tpm_support=source.tpm_support,
        imds_support=source.imds_support,
        kernel_id=source.kernel_id,
        ramdisk_id=source.ramdisk_id,
        platform=source.platform,
        source_image_id=source.id,
        source_image_region=source.region,
        watermarks=source.watermarks,
    )


def _mapping(
    mapping: BlockDeviceMapping, copied: Mapping[SnapshotId, SnapshotId]
) -> BlockDeviceMapping:
    if mapping.ebs is None or mapping.ebs.snapshot_id is None:
        return mapping
    ebs = replace(mapping.ebs, snapshot_id=copied[mapping.ebs.snapshot_id])
    return replace(mapping, ebs=ebs)


def _tag(
    tx: Transaction,
    caller: Caller,
    asked: ImageCopying,
    source: Image,
    image_id: ImageId,
    snapshot_ids: list[SnapshotId],
) -> None:
    its_tags = dict(asked.image_tags)
    if asked.copy_tags:
        seen = tags.of_images(tx, caller.account, {source.id: source.owner})
        its_own = {k: v for k, v in seen.get(source.id, {}).items() if not is_reserved(k)}
        its_tags = its_own | its_tags
    tags.put(tx, caller.account, caller.region, ("image", image_id), its_tags)
    for snapshot_id in snapshot_ids:
        tags.put(tx, caller.account, caller.region, ("snapshot", snapshot_id), asked.snapshot_tags)
