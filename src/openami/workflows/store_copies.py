"""The second half of snapshots, of sets of them and of images: their copies go into the store.

The moment is that of the copies, and they are safe. So this half, which may take hours, waits for
its turn in a lane, and whoever else asks for a snapshot has a moment at once.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

from openami.catalog import images, snapshots
from openami.domain.ids import ImageId, SnapshotId
from openami.domain.image import ImageEvent, ImageState
from openami.domain.state_reason import StateReason
from openami.jobs.engine import Args, Job
from openami.jobs.lanes import SNAPSHOTS
from openami.services import Services
from openami.workflows import scratch

NAME: Final = "store_copies"

_OWN_CODE: Final = re.compile(r"((?:Client|Server)\.\w+): ")


def job_id_for(owner: str) -> str:
    return f"{NAME}:{owner}"


def start(svc: Services, owner: str, snapshot_ids: Iterable[SnapshotId]) -> str:
    """Begin to store what is kept under the name of `owner`, once, when it is its account's turn.

    The id of the job.
    """
    ids = list(snapshot_ids)
    with svc.catalog.read() as tx:
        its = [each for each in (snapshots.fetch_any(tx, each) for each in ids) if each is not None]
    job_id = job_id_for(owner)
    args = {"owner": owner, "snapshot_ids": ids}
    owners, regions = {each.owner for each in its}, {each.region for each in its}
    svc.jobs.start(NAME, job_id, args, owner=next(iter(owners), ""), regions=regions)
    let_go(svc, owner)
    return job_id


def let_go(svc: Services, owner: str) -> None:
    """End the job now if it stands in line for nothing: what its copies are for was deleted.

    In the line they would take room for as long as the owner's other jobs last.
    """
    copied = [SnapshotId(each) for each in scratch.found(svc, owner) or ()]
    if not scratch.unfilled(svc, copied):
        svc.jobs.hurry(job_id_for(owner))


def follow(svc: Services, first: str, owner: str, snapshot_ids: Iterable[SnapshotId]) -> None:
    """Begin if the job `first`, which makes the copies, has ended: it began this one, and this one
    was not on record yet when the server died. Copies that are gone are told by it, too."""
    if svc.jobs.wait(first, 0):
        start(svc, owner, snapshot_ids)


def resume(svc: Services) -> None:
    """Whoever made the copies: theirs may be an image that was deregistered since."""
    with svc.catalog.read() as tx:
        names = {each.id: scratch.names_for(tx, each) for each in snapshots.pending(tx)}
    kept: dict[str, list[SnapshotId]] = {}
    for snapshot_id, owners in names.items():
        for owner in owners:
            if snapshot_id in (scratch.found(svc, owner) or {}):
                kept.setdefault(owner, []).append(snapshot_id)
                break
    for owner, ids in kept.items():
        start(svc, owner, ids)
    for owner in owners_of_active(svc, NAME):
        let_go(svc, owner)


def owners_of_active(svc: Services, name: str) -> list[str]:
    """Whose jobs of that name have not ended."""
    prefix = f"{name}:"
    return [each.removeprefix(prefix) for each in svc.jobs.active() if each.startswith(prefix)]


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("store the blocks", lambda args: _store(svc, args)),
            ("complete the image", lambda args: _complete(svc, args)),
        ),
        give_up=lambda args, why: give_up(svc, _owner(args), _ids(args), why),
        lane=SNAPSHOTS,
        afterwards=lambda args: scratch.drop(svc, _owner(args)),  # the sweep does it, too
    )


def _owner(args: Args) -> str:
    return str(args["owner"])


def _ids(args: Args) -> list[SnapshotId]:
    ids = args["snapshot_ids"]
    assert isinstance(ids, list)
    return [SnapshotId(str(each)) for each in ids]


def _store(svc: Services, args: Args) -> None:
    for snapshot_id in _ids(args):
        scratch.store(svc, _owner(args), snapshot_id)


def _complete(svc: Services, args: Args) -> None:
    """The image, if it is one that the copies are of."""
    with svc.catalog.begin() as tx:
        image = images.fetch_any(tx, ImageId(_owner(args)))
        # Only a snapshot that somebody deleted is not complete here; none may while it is pending.
        if image is not None and image.state is ImageState.PENDING:
            images.save(tx, image.after(ImageEvent.SNAPSHOTS_COMPLETED))


def give_up(svc: Services, owner: str, snapshot_ids: Collection[SnapshotId], why: str) -> None:
    """What is pending yet is not to be, and says why; an image fails with its snapshots."""
    reason = _reason(why)
    with svc.catalog.begin() as tx:
        image = images.fetch_any(tx, ImageId(owner))
        if image is not None and image.state is ImageState.PENDING:
            images.save(tx, image.after(ImageEvent.SNAPSHOT_FAILED, reason))
        for snapshot_id in snapshot_ids:
            scratch.fail_in(tx, snapshot_id, reason.message)
    scratch.drop(svc, owner)


def _reason(why: str) -> StateReason:
    """In EC2's form, which names whose fault it is first."""
    told = _OWN_CODE.match(why)
    if told is not None:
        return StateReason(code=told[1], message=why)
    return StateReason(code="Server.InternalError", message=f"Server.InternalError: {why}")
