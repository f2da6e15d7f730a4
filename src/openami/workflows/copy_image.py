"""A copy of an image: each of its snapshots is copied, then the image is there."""

from itertools import groupby
from typing import Final

from openami.catalog import images, snapshot_copies, snapshots
from openami.domain.ids import AccountId, ImageId, SnapshotId
from openami.domain.image import ImageEvent, ImageState
from openami.domain.state_reason import StateReason
from openami.jobs.engine import Args, Job
from openami.jobs.lanes import COPIES
from openami.services import Services
from openami.workflows import copy_snapshot, scratch

NAME: Final = "copy_image"


def start(
    svc: Services, image_id: ImageId, owner: AccountId, snapshot_ids: list[SnapshotId]
) -> str:
    """Begin to fill a pending image's snapshots, once, when it is its owner's turn. The id of the
    job."""
    job_id = f"{NAME}:{image_id}"
    args = {"image_id": image_id, "snapshot_ids": snapshot_ids}
    regions = copy_snapshot.regions_of(svc, snapshot_ids)
    svc.jobs.start(NAME, job_id, args, owner=owner, regions=regions)
    return job_id


def resume(svc: Services) -> None:
    """An image without a job has all its copies yet: the first to end is the job's."""
    with svc.catalog.read() as tx:
        copies = [copy for copy in snapshot_copies.every(tx) if copy.image_id is not None]
        owners = {each.id: each.owner for each in snapshots.pending(tx)}
    waiting = [copy for copy in copies if copy.snapshot_id in owners]
    by_image = sorted(waiting, key=lambda copy: str(copy.image_id))
    for image_id, its_copies in groupby(by_image, key=lambda copy: copy.image_id):
        ids = [copy.snapshot_id for copy in its_copies]
        start(svc, ImageId(str(image_id)), owners[ids[0]], ids)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("move the chunks", lambda args: _bring(svc, args)),
            ("complete the image", lambda args: _complete(svc, args)),
        ),
        give_up=lambda args, reason: _fail(svc, args, reason),
        lane=COPIES,
    )


def _image_id(args: Args) -> ImageId:
    return ImageId(str(args["image_id"]))


def _snapshot_ids(args: Args) -> list[SnapshotId]:
    ids = args["snapshot_ids"]
    assert isinstance(ids, list)
    return [SnapshotId(str(each)) for each in ids]


def _bring(svc: Services, args: Args) -> None:
    for snapshot_id in _snapshot_ids(args):
        copy_snapshot.bring(svc, snapshot_id)


def _complete(svc: Services, args: Args) -> None:
    with svc.catalog.begin() as tx:
        image = images.fetch_any(tx, _image_id(args))
        if image is not None and image.state is ImageState.PENDING:
            images.save(tx, image.after(ImageEvent.SNAPSHOTS_COMPLETED))


def _fail(svc: Services, args: Args, why: str) -> None:
    """The image first: while it is pending its snapshots are what the sweep finds it by."""
    reason = StateReason(code=why.partition(":")[0], message=why)
    with svc.catalog.begin() as tx:
        image = images.fetch_any(tx, _image_id(args))
        if image is not None and image.state is ImageState.PENDING:
            images.save(tx, image.after(ImageEvent.SNAPSHOT_FAILED, reason))
    for snapshot_id in _snapshot_ids(args):
        scratch.fail(svc, snapshot_id, why)
