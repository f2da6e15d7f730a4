"""One disk of an import: from where it is, through scratch files, into the store.

Each file in the scratch directory is there whole or not at all, so work that was cut off goes on
at the last one that is there. `<n>.source` is the object, `<n>.vmdk` what was in its archive,
`<n>.raw` the disk.
"""

import errno
import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from openami.blockstore.ingest import SourceChanged, ingest_file
from openami.blockstore.parallel import Progress
from openami.blockstore.store import StoreFull
from openami.catalog import import_tasks
from openami.diskimage import formats, ova, qemu_img
from openami.diskimage.errors import DiskImageError, DiskRejected
from openami.diskimage.formats import DiskFormat
from openami.domain.transfers.import_task import ImportedDisk, ImportTask, ImportTaskId
from openami.jobs.engine import GiveUp
from openami.jobs.room import NoRoom, Share
from openami.objects.download import download
from openami.objects.store import ObjectAbsent, ObjectChanged, ObjectInfo, ObjectStoreError
from openami.services import Services
from openami.workflows import outages
from openami.workflows.host_files import NotServed, opened
from openami.workflows.outages import PatientReader
from openami.workflows.scratch import home

OVA: Final = "OVA"
_FETCHED, _STORED = 45, 98  # per cent of a disk's share of the work
_log = logging.getLogger(__name__)


def invalid(disk: ImportedDisk, why: str) -> str:
    """A StatusMessage in EC2's form that names the disk as its sender does."""
    return f"ClientError: Disk validation failed [{disk.name}: {why}]"


def _no_room(disk: ImportedDisk, lacking_bytes: int = 0) -> str:
    lacking = f": {-(-lacking_bytes >> 20)} MiB are lacking" if lacking_bytes else ""
    return (
        f"ServerError: There is no room on the server for {disk.name}{lacking}. Import it again"
        " when other tasks have ended, or ask the server's operator for room."
    )


def reader(svc: Services, task_id: ImportTaskId) -> PatientReader:
    """The objects, as a task reads them that may be cancelled."""
    return PatientReader(
        store=svc.objects,
        settings=svc.settings,
        who=task_id,
        look=lambda: _check_active(svc, task_id),
    )


def _check_active(svc: Services, task_id: ImportTaskId) -> None:
    with svc.catalog.read() as tx:
        if not import_tasks.is_active(tx, task_id):
            raise GiveUp("the import was cancelled")


class Watch:
    """Looks whether the work is still to be done, and tells the catalog how far it is.

    Its methods raise GiveUp when the task is cancelled, NoRoom when it takes what others need.
    """

    def __init__(
        self, svc: Services, task_id: ImportTaskId, share: Share, number: int, disks: int
    ) -> None:
        self._svc, self._task_id, self.room = svc, task_id, share
        self.objects = reader(svc, task_id)
        self._number, self._disks = number, disks
        self._told = 0

    def look(self) -> None:
        _check_active(self._svc, self._task_id)
        self.room.look()

    def progress(self, message: str, start: int, end: int) -> Progress:
        """For work that is from `start` to `end` per cent of this disk's."""

        def tell(done_bytes: int, total_bytes: int) -> None:
            self.look()
            of_disk = start + (end - start) * done_bytes // max(1, total_bytes)
            percent = min(99, (self._number * 100 + of_disk) // self._disks)
            if percent > self._told:
                self._told = percent
                with self._svc.catalog.begin() as tx:
                    import_tasks.save_progress(tx, self._task_id, percent, message)

        return tell


def bring(svc: Services, task: ImportTask, number: int, watch: Watch) -> ImportedDisk:
    """Store the content of a disk; the disk with its root. Raises GiveUp."""
    disk, directory = task.disks[number], home(svc, task.id)
    for file in directory.glob(f".{number}.*"):
        file.unlink()  # of an attempt that died
    with told(svc, disk), _source(svc, disk, directory / f"{number}.source", watch) as source:
        found = disk.format or _format_of(source)
        _check_kind(task, found)
        raw = _raw(source, found, directory / f"{number}.raw", watch)
        watch.room.release()
        storing = watch.progress("updating", _FETCHED, _STORED)
        storing(0, 1)
        root = ingest_file(svc.stores[task.region], raw, progress=storing)
    for file in directory.glob(f"{number}.*"):
        file.unlink()
    return replace(disk, format="VMDK" if found == OVA else found, root=root.to_text())


def check(task: ImportTask, disk: ImportedDisk, file: BinaryIO) -> None:
    """Raises DiskRejected for what a few bytes tell, before all others are fetched."""
    found = disk.format or _format_of(file)
    _check_kind(task, found)
    if found != OVA:
        formats.check(file, DiskFormat(found.lower()))


def _check_kind(task: ImportTask, found: str) -> None:
    if found == OVA and not (task.makes_image and len(task.disks) == 1):
        raise DiskRejected("The file is an ova: import it as an image, as the only disk container.")


@contextmanager
def _source(svc: Services, disk: ImportedDisk, target: Path, watch: Watch) -> Generator[BinaryIO]:
    """The file or the object, opened once: what is judged is what is read."""
    if disk.path is not None:
        with opened(svc.settings, str(disk.url)) as file:
            yield file
        return
    if not target.exists():
        watch.room.claim(disk.size_bytes)
        info = ObjectInfo(size_bytes=disk.size_bytes, etag=str(disk.etag))
        telling = watch.progress("downloading/converting", 0, _FETCHED)
        download(watch.objects, str(disk.bucket), str(disk.key), info, target, telling)
    with target.open("rb") as file:
        yield file


def _format_of(file: BinaryIO) -> str:
    if ova.is_archive(file):
        return OVA
    return formats.detect(file).value.upper()


def _raw(source: BinaryIO, found: str, target: Path, watch: Watch) -> Path:
    """The disk as raw bytes: a raw one is read where it lies."""
    if found == DiskFormat.RAW.upper():
        qemu_img.inspect(source, DiskFormat.RAW, watch=watch.look)
        return Path(f"/proc/self/fd/{source.fileno()}")
    if target.exists():
        return target
    draft = target.with_name(f".{target.name}")
    if found == OVA:
        packed = target.with_suffix(".vmdk")
        if not packed.exists():
            watch.room.claim(source.seek(0, 2))
            ova.unpack_disk(source, packed, lambda _done, _total: watch.look())
        _convert(packed, DiskFormat.VMDK, draft, watch)
    else:
        _convert(source, DiskFormat(found.lower()), draft, watch)
    return draft.rename(target)


def _convert(source: Path | BinaryIO, disk_format: DiskFormat, draft: Path, watch: Watch) -> None:
    claim = watch.room.claim
    qemu_img.convert_to_raw(source, disk_format, draft, watch=watch.look, needs=claim)


@contextmanager
def told(svc: Services, disk: ImportedDisk) -> Generator[None]:
    """What is wrong with the disk, with our room for it or with its store, as a StatusMessage."""
    try:
        yield
    except NoRoom as full:
        raise GiveUp(_no_room(disk, full.lacking_bytes)) from full
    except (DiskRejected, NotServed) as wrong:
        raise GiveUp(invalid(disk, str(wrong))) from wrong
    except (ObjectAbsent, ObjectChanged, SourceChanged) as changed:
        why = "it changed while it was read. Import it again when its upload has ended."
        raise GiveUp(invalid(disk, why)) from changed
    except ObjectStoreError as failure:
        _log.warning("%s cannot be read: %s", disk.name, failure)
        why = outages.away(svc.settings, f"{disk.name} was read")
        raise GiveUp(f"ServerError: {why} Import it again when it answers.") from failure
    except (StoreFull, DiskImageError, OSError) as failure:
        if isinstance(failure, StoreFull) or _is_full(failure):
            raise GiveUp(_no_room(disk)) from failure
        if isinstance(failure, OSError):
            raise
        _log.warning("%s cannot be read: %s", disk.name, failure)
        raise GiveUp(f"ServerError: {disk.name} cannot be read on this server.") from failure


def _is_full(failure: Exception) -> bool:
    return "No space left" in str(failure) or getattr(failure, "errno", None) == errno.ENOSPC
