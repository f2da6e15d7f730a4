"""Snapshots of several volumes of an instance, all as they are at one moment."""

from typing import Final

from openami.catalog import snapshots, volumes
from openami.domain.ids import InstanceId, SnapshotId, VolumeId
from openami.jobs.engine import Args, GiveUp, Job
from openami.jobs.lanes import MOMENTS
from openami.services import Services
from openami.workflows import scratch, store_copies

NAME: Final = "create_snapshots"


def start(svc: Services, set_id: str) -> str:
    """Begin to copy the volumes of a set of pending snapshots, once. The id of the job."""
    job_id = f"{NAME}:{set_id}"
    with svc.catalog.read() as tx:
        its = snapshots.pending_of_set(tx, set_id)
    owners, regions = {each.owner for each in its}, {each.region for each in its}
    svc.jobs.start(NAME, job_id, {"set_id": set_id}, owner=next(iter(owners), ""), regions=regions)
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = {each.set_id for each in snapshots.pending(tx)}
    for set_id in sorted(each for each in waiting if each is not None):
        store_copies.follow(svc, start(svc, set_id), set_id, _wanted(svc, set_id))


def keep(svc: Services, set_id: str) -> None:
    """Make sure of the copies of a set one of whose volumes is about to go."""
    start(svc, set_id)
    _copy(svc, set_id)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("copy the volumes", lambda args: _copy(svc, _id(args))),
            ("hand them over", lambda args: _hand_over(svc, _id(args))),
        ),
        give_up=lambda args, why: _give_up(svc, _id(args), why),
        lane=MOMENTS,
    )


def _id(args: Args) -> str:
    return str(args["set_id"])


def _wanted(svc: Services, set_id: str) -> dict[SnapshotId, VolumeId]:
    with svc.catalog.read() as tx:
        return {each.id: each.volume_id for each in snapshots.pending_of_set(tx, set_id)}


def _copy(svc: Services, set_id: str) -> None:
    wanted = _wanted(svc, set_id)
    if wanted and scratch.found(svc, set_id) is None:
        scratch.take(svc, set_id, wanted, of=_instance_of(svc, wanted))


def _instance_of(svc: Services, wanted: dict[SnapshotId, VolumeId]) -> InstanceId:
    with svc.catalog.read() as tx:
        volume = volumes.fetch_any(tx, next(iter(wanted.values())))
    if volume is None or volume.attachment is None:
        raise GiveUp("Client.VolumeDetached: a volume was detached before it was copied")
    return volume.attachment.instance_id


def _hand_over(svc: Services, set_id: str) -> None:
    store_copies.start(svc, set_id, _wanted(svc, set_id))


def _give_up(svc: Services, set_id: str, why: str) -> None:
    store_copies.give_up(svc, set_id, _wanted(svc, set_id), why)
