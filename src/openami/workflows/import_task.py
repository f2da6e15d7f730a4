"""ImportSnapshot and ImportImage: disks from outside into the store, then a snapshot or an image.

Nothing of it is in the catalog but the task until all of it is there: one transaction then makes
the snapshots, the image and the end of the task. The task holds the lease of what is written. So
one that fails or is cancelled has nothing to take back but its scratch directory.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from openami.blockstore.manifest import Manifests
from openami.blockstore.store import ChunkLost
from openami.catalog import buckets, import_tasks, ingests
from openami.catalog.catalog import Transaction
from openami.diskimage import partitions
from openami.domain.block import BLOCK_BYTES, HOLE
from openami.domain.manifest import Root
from openami.domain.transfers.import_task import (
    ImportedDisk,
    ImportEvent,
    ImportState,
    ImportTask,
    ImportTaskId,
)
from openami.jobs.engine import Args, GiveUp, Job
from openami.jobs.lanes import TRANSFERS
from openami.objects.in_use import WAIT_S
from openami.objects.ranges import as_file
from openami.objects.store import ObjectAbsent
from openami.services import Services
from openami.workflows import import_disks, imported, scratch
from openami.workflows.host_files import NotServed, opened

NAME: Final = "import_task"
CANCELLED: Final = "the import was cancelled"
_log = logging.getLogger(__name__)


def start(svc: Services, task: ImportTask) -> str:
    """Begin the work of a task, once, when it is its owner's turn. The id of the job."""
    job_id = f"{NAME}:{task.id}"
    svc.jobs.start(NAME, job_id, {"task_id": task.id}, owner=task.owner, regions=[task.region])
    if task.state is not ImportState.ACTIVE:
        svc.jobs.hurry(job_id)
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = import_tasks.unfinished(tx)
    for task in waiting:
        start(svc, task)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("look at the sources", lambda args: _look(svc, _id(args))),
            ("bring in the disks", lambda args: _bring(svc, _id(args))),
            ("complete the task", lambda args: _complete(svc, _id(args))),
        ),
        give_up=lambda args, reason: _end(svc, _id(args), reason),
        lane=TRANSFERS,
    )


def _id(args: Args) -> ImportTaskId:
    return ImportTaskId(str(args["task_id"]))


def _active(tx: Transaction, task_id: ImportTaskId) -> ImportTask:
    """Raises GiveUp for one that was cancelled."""
    task = import_tasks.fetch_any(tx, task_id)
    if task is None or task.state is not ImportState.ACTIVE:
        raise GiveUp(CANCELLED)
    return task


def _fetched(svc: Services, task_id: ImportTaskId) -> ImportTask:
    with svc.catalog.read() as tx:
        return _active(tx, task_id)


def _change(
    svc: Services, task_id: ImportTaskId, change: Callable[[ImportTask], ImportTask]
) -> None:
    with svc.catalog.begin() as tx:
        import_tasks.save(tx, change(_active(tx, task_id)))


def _look(svc: Services, task_id: ImportTaskId) -> None:
    """Find each source and remember which content it had: no other is read later."""
    for number, disk in enumerate(_fetched(svc, task_id).disks):
        if disk.bucket is not None and disk.etag is None:
            found = _object(svc, task_id, disk)
        elif disk.path is not None:
            found = replace(disk, size_bytes=_file_size(svc, disk))
        else:
            continue
        _change(svc, task_id, lambda task, n=number, found=found: task.with_disk(n, found))


def _object(svc: Services, task_id: ImportTaskId, disk: ImportedDisk) -> ImportedDisk:
    bucket, key = str(disk.bucket), str(disk.key)
    objects = import_disks.reader(svc, task_id)
    with import_disks.told(svc, disk), svc.buckets.work(bucket, WAIT_S):
        with svc.catalog.read() as tx:
            task, its_bucket = _active(tx, task_id), buckets.find(tx, bucket)
        if its_bucket is None or its_bucket.owner != task.owner:
            raise GiveUp(import_disks.invalid(disk, "the bucket is not the account's any more."))
        try:
            info = objects.head(bucket, key)
        except ObjectAbsent:
            why = "there is no such object in the bucket. Upload it, and import again."
            raise GiveUp(import_disks.invalid(disk, why)) from None
        import_disks.check(task, disk, as_file(objects, bucket, key, info))
    return replace(disk, size_bytes=info.size_bytes, etag=info.etag)


def _file_size(svc: Services, disk: ImportedDisk) -> int:
    try:
        with opened(svc.settings, str(disk.url)) as file:
            return os.fstat(file.fileno()).st_size
    except NotServed:
        raise GiveUp(import_disks.invalid(disk, "the file is not there any more.")) from None


def _bring(svc: Services, task_id: ImportTaskId) -> None:
    """One disk after the other, so that only one is on the scratch disk at a time."""
    with svc.catalog.begin() as tx:
        task = _active(tx, task_id)
        # Not before it is our turn: a collection waits for every lease.
        ingests.begin(tx, task_id, task.region, svc.clock.now())
    home = scratch.home(svc, task_id)
    home.mkdir(parents=True, exist_ok=True)
    for number, disk in enumerate(task.disks):
        if disk.root is not None:
            continue
        with svc.room.share(home) as share:
            watch = import_disks.Watch(svc, task_id, share, number, len(task.disks))
            found = import_disks.bring(svc, task, number, watch)
        _change(svc, task_id, lambda task, n=number, found=found: task.with_disk(n, found))


def _complete(svc: Services, task_id: ImportTaskId) -> None:
    with svc.catalog.read() as tx:
        task = import_tasks.fetch_any(tx, task_id)
    if task is not None and task.state is ImportState.ACTIVE:
        described = _with_boot_mode(svc, task) if task.makes_image else task
        with svc.catalog.begin() as tx:
            _active(tx, task_id)
            if not ingests.is_active(tx, task_id):
                raise GiveUp("ServerError: the lease of the import is lost")
            imported.complete(svc, tx, described)
            ingests.end(tx, task_id)
    elif task is None or task.state is not ImportState.COMPLETED:
        raise GiveUp(CANCELLED)
    scratch.drop(svc, task_id)


def _with_boot_mode(svc: Services, task: ImportTask) -> ImportTask:
    """What the first disk says. Raises GiveUp where nothing boots from it, or not as asked."""
    disk = task.disks[0]
    found = partitions.read(_first_block(svc, task))
    if not found.any:
        raise GiveUp(
            f"ClientError: No valid partitions. Not a valid volume. [{disk.name}: the disk of an"
            " image has a partition table; ImportSnapshot takes any disk.]"
        )
    if found.windows and task.platform is None:
        raise GiveUp(
            f"ClientError: Unknown OS / Missing OS files. [{disk.name}: it has the partitions of"
            " Windows. Say Platform=Linux if it is not, or take ImportSnapshot and RegisterImage.]"
        )
    if task.boot_mode == "uefi" and not found.efi:
        raise GiveUp(
            import_disks.invalid(
                disk, "it has no EFI system partition. Import it with BootMode=legacy-bios."
            )
        )
    return replace(
        task,
        boot_mode=task.boot_mode or found.boot_mode,
        platform=task.platform or "Linux",
        architecture=task.architecture or "x86_64",
    )


def _first_block(svc: Services, task: ImportTask) -> bytes:
    """Of the first disk. Raises GiveUp when it is lost, or archived since the request."""
    disk = task.disks[0]
    store = svc.stores[task.region]
    try:
        digest = Manifests(store).lookup(Root.from_text(str(disk.root)), 0)
        return bytes(BLOCK_BYTES) if digest == HOLE else store.get(digest)
    except ChunkLost as lost:
        _log.warning("%s: %s cannot be read: %s", task.id, disk.name, lost)
        raise GiveUp(f"ServerError: The content of {disk.name} cannot be read.") from lost


def _end(svc: Services, task_id: ImportTaskId, reason: str) -> None:
    """It failed, or was cancelled: nothing of it stays but its record."""
    told = reason if reason.startswith(("ClientError", "ServerError")) else f"ServerError: {reason}"
    with svc.catalog.begin() as tx:
        task = import_tasks.fetch_any(tx, task_id)
        if task is not None and task.state is ImportState.ACTIVE:
            _log.warning("%s failed: %s", task_id, told)
            import_tasks.save(tx, task.after(ImportEvent.FAILED, told, svc.clock.now()))
        elif task is not None and task.state is ImportState.DELETING:
            ended = task.after(ImportEvent.CLEARED, task.status_message, svc.clock.now())
            import_tasks.save(tx, ended)
        ingests.end(tx, task_id)
    scratch.drop(svc, task_id)
