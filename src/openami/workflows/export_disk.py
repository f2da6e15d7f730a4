"""A disk goes into a bucket as a file: an image's, or the root volume of an instance.

A volume is first copied and stored as a snapshot is, under a lease; from then on its content is
named by the task alone. RAW is sent as it is read. For the other formats the disk is written to
`<state_dir>/scratch/<task id>/`, converted there by the confined qemu-img, and sent from there.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from openami.blockstore.manifest import Manifests
from openami.blockstore.restore import pieces, restore
from openami.blockstore.store import ChunkLost, StoreFull
from openami.catalog import ingests, instances, volumes
from openami.catalog.transfers import export_tasks
from openami.diskimage import ovf, qemu_img
from openami.diskimage.errors import DiskImageError, DiskRejected
from openami.diskimage.formats import DiskFormat
from openami.domain.block import BLOCK_BYTES
from openami.domain.ids import ExportTaskId, SnapshotId
from openami.domain.instance_type import DEFAULT_TYPE, known_type
from openami.domain.manifest import Root
from openami.domain.transfers.export_task import DiskImageFormat, ExportState, ExportTask
from openami.jobs.engine import Args, GiveUp, Job
from openami.jobs.lanes import TRANSFERS
from openami.jobs.room import NoRoom, Share
from openami.services import Services
from openami.workflows import scratch, uploads
from openami.workflows.progress import whole_percents

NAME: Final = "export_disk"
_FORMATS: Final = {DiskImageFormat.VMDK: DiskFormat.VMDK, DiskImageFormat.VHD: DiskFormat.VHD}
_OVERHEAD: Final = 64
"""The part of a disk's data that the tables of a converted one take at most."""
_PIECE_BYTES: Final = 1 << 20
_LOOK_EVERY: Final = 16  # pieces between two looks whether the task is cancelled
_CONVERTED_PERCENT: Final = 50  # a converted disk's upload begins there
_log = logging.getLogger(__name__)


def start(svc: Services, task: ExportTask) -> str:
    """Begin the export, once, when it is its owner's turn. The id of the job."""
    job_id = f"{NAME}:{task.id}"
    svc.jobs.start(NAME, job_id, {"task_id": task.id}, owner=task.owner, regions=[task.region])
    if task.state is not ExportState.ACTIVE:
        svc.jobs.hurry(job_id)
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = export_tasks.running(tx)
    for task in waiting:
        start(svc, task)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("copy the volume", lambda args: _copy(svc, args)),
            ("convert", lambda args: _convert(svc, args)),
            ("upload", lambda args: _upload(svc, args)),
            ("complete the task", lambda args: _complete(svc, args)),
        ),
        give_up=lambda args, reason: _remove(svc, args, reason),
        lane=TRANSFERS,
    )


def _active(svc: Services, args: Args) -> ExportTask:
    """The task. Raises GiveUp when it is cancelled, has ended, or is gone."""
    with svc.catalog.read() as tx:
        task = export_tasks.fetch_any(tx, ExportTaskId(str(args["task_id"])))
    if task is None or task.state is not ExportState.ACTIVE:
        raise GiveUp("Cancelled")
    return task


def _check_active(svc: Services, args: Args) -> None:
    _active(svc, args)


def _tell(svc: Services, task: ExportTask, message: str) -> Callable[[int], None]:
    def tell(percent: int) -> None:
        with svc.catalog.begin() as tx:
            export_tasks.save_progress(tx, task.id, percent, message)

    return tell


def _copy(svc: Services, args: Args) -> None:
    task = _active(svc, args)
    if task.root is not None or task.volume_id is None:
        return
    with svc.catalog.begin() as tx:
        volume = volumes.fetch_any(tx, task.volume_id)
        if volume is None:
            raise GiveUp("The volume was deleted before it was copied")
        # Not before it is our turn: a collection waits for every lease.
        ingests.begin(tx, task.id, task.region, svc.clock.now(), volume)
    copied = SnapshotId(task.id)  # the copy's name in its directory
    try:
        scratch.take(svc, task.id, {copied: task.volume_id}, task.instance_id)
        found = (scratch.found(svc, task.id) or {})[copied]
        root = svc.volumes.snapshot_from(found.overlay, task.region, found.root, found.size_gib)
    except (ChunkLost, StoreFull) as failure:
        _log.warning("%s cannot be exported: %s", task.volume_id, failure)
        raise GiveUp("The volume cannot be copied") from failure
    with svc.catalog.begin() as tx:
        now = export_tasks.fetch_any(tx, task.id)
        if now is not None and now.state is ExportState.ACTIVE:
            export_tasks.save(tx, replace(now, root=root.to_text()))
        ingests.end(tx, task.id)
    scratch.drop(svc, task.id)


def _root(task: ExportTask) -> Root:
    if task.root is None:
        raise GiveUp("The disk's content is gone")
    return Root.from_text(task.root)


def _converted(svc: Services, task: ExportTask) -> Path:
    return scratch.home(svc, task.id) / "disk"


def _convert(svc: Services, args: Args) -> None:
    task = _active(svc, args)
    out = _converted(svc, task)
    if task.disk_format is DiskImageFormat.RAW or out.exists():
        return
    scratch.drop(svc, task.id)  # what an attempt left that died
    out.parent.mkdir(parents=True)
    with svc.room.share(out.parent) as share:
        try:
            _write(svc, args, task, share)
        except (ChunkLost, StoreFull) as failure:
            _log.warning("%s cannot be converted: %s", task.id, failure)
            raise GiveUp("The disk cannot be read, or there is no room to convert it") from failure
        except (DiskImageError, DiskRejected) as failure:
            _log.warning("%s cannot be converted: %s", task.id, failure)
            raise GiveUp(f"The disk cannot be written as {task.disk_format}") from failure
        except NoRoom as full:
            raise GiveUp(
                f"There is no room on the server to convert the disk of {_source(task)}:"
                f" {-(-full.lacking_bytes >> 20)} MiB are lacking. Export it again when other"
                " tasks have ended, export it as RAW, or ask the server's operator for room."
            ) from full


def _source(task: ExportTask) -> str:
    return str(task.image_id or task.instance_id)


def _write(svc: Services, args: Args, task: ExportTask, share: Share) -> None:
    """The raw disk and the converted one are there together, for a while."""
    root, store, out = _root(task), svc.stores[task.region], _converted(svc, task)
    raw, draft = out.with_name("disk.raw"), out.with_name(".disk")
    tell = _tell(svc, task, "converting")
    tell(0)

    def look() -> None:
        _active(svc, args)
        share.look()

    def half(percent: int) -> None:
        look()
        tell(percent * _CONVERTED_PERCENT // 100)

    data_bytes = sum(1 for _ in Manifests(store).iterate(root)) * BLOCK_BYTES
    share.claim(2 * data_bytes + data_bytes // _OVERHEAD)
    restore(*(store, root, raw), size_bytes=task.size_bytes, progress=whole_percents(half))
    qemu_img.convert_from_raw(raw, _FORMATS[task.disk_format], draft, watch=look)
    raw.unlink()
    draft.rename(out)


def _upload(svc: Services, args: Args) -> None:
    _convert(svc, args)  # once more, where a power cut took away what was done
    task = _active(svc, args)
    disk_bytes = _size_bytes(svc, task)
    try:
        uploads.upload(
            *(svc, task.owner, (task.bucket, task.key)),
            lambda: _until_cancelled(svc, args, _parts(svc, task, disk_bytes)),
            lambda: _check_active(svc, args),
            size_bytes=disk_bytes,
        )
    except ChunkLost as lost:
        _log.exception("%s cannot be exported", task.id)
        raise GiveUp("The disk's content cannot be read") from lost


def _size_bytes(svc: Services, task: ExportTask) -> int:
    """Of the disk as it is sent."""
    if task.disk_format is DiskImageFormat.RAW:
        return task.size_bytes
    return _converted(svc, task).stat().st_size


def _parts(svc: Services, task: ExportTask, size: int) -> Iterator[bytes]:
    told = whole_percents(_tell(svc, task, "uploading"), task.progress_percent)
    if task.disk_format is DiskImageFormat.RAW:
        return pieces(svc.stores[task.region], _root(task), size_bytes=size, progress=told)

    def second_half(done_bytes: int) -> None:
        rest = 100 - _CONVERTED_PERCENT
        told(_CONVERTED_PERCENT * size + rest * done_bytes, 100 * size)

    parts = _read(_converted(svc, task), second_half)
    return _in_ova(svc, task, parts, size) if task.as_ova else parts


def _read(file: Path, progress: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE_BYTES):
            yield piece
            done += len(piece)
            progress(done)


def _in_ova(svc: Services, task: ExportTask, disk: Iterator[bytes], size: int) -> Iterator[bytes]:
    """With as many processors and as much memory as the instance has."""
    assert task.instance_id is not None
    with svc.catalog.read() as tx:
        instance = instances.fetch_any(tx, task.instance_id)
    kind = known_type(DEFAULT_TYPE if instance is None else instance.instance_type)
    return ovf.ova(
        *(task.id, disk, size),
        capacity=task.size_bytes,
        cpus=kind.vcpus,
        memory_mib=kind.memory_mib,
    )


def _until_cancelled(svc: Services, args: Args, parts: Iterator[bytes]) -> Iterator[bytes]:
    for number, part in enumerate(parts):
        if number % _LOOK_EVERY == 0:
            _active(svc, args)
        yield part


def _complete(svc: Services, args: Args) -> None:
    with svc.catalog.begin() as tx:
        task = export_tasks.fetch_any(tx, ExportTaskId(str(args["task_id"])))
        if task is not None and task.state is ExportState.ACTIVE:
            export_tasks.save(tx, task.completed())
    if task is not None and task.state is ExportState.CANCELLING:
        raise GiveUp("Cancelled")  # between the last byte and now: what was sent goes again
    scratch.drop(svc, str(args["task_id"]))


def _remove(svc: Services, args: Args, why: str) -> None:
    """Take away all that a cancelled or failed task made; then tell so."""
    with svc.catalog.read() as tx:
        task = export_tasks.fetch_any(tx, ExportTaskId(str(args["task_id"])))
    if task is None or task.state not in (ExportState.ACTIVE, ExportState.CANCELLING):
        return
    place = (task.bucket, task.key)
    uploads.withdraw(svc, task.owner, place, is_object=True)
    scratch.drop(svc, task.id)
    with svc.catalog.begin() as tx:
        now = export_tasks.fetch_any(tx, task.id)
        if now is not None and now.state in (ExportState.ACTIVE, ExportState.CANCELLING):
            export_tasks.save(tx, now.removed(why))
        ingests.end(tx, task.id)
