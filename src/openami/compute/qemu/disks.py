"""Disks of a running machine, over QMP: plug, unplug, and copy at one point in time.

Nothing is remembered here: QEMU is asked what it has. Block nodes, devices and descriptors are
named after the disk's serial, so each call finds what an earlier, interrupted one left.
"""

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from openami.compute.driver import Disk, MachineFailed
from openami.compute.qemu.command_line import (
    device_name,
    disk_device,
    disk_serial,
    fdset,
    node_name,
    overlay_node,
)
from openami.compute.qemu.qmp import Expected, Monitor
from openami.domain.block import BLOCK_BYTES
from openami.domain.ids import VolumeId

UNPLUG_TIMEOUT_S: Final = 5.0
_COPY_TIMEOUT_S: Final = 24 * 3600.0
_LOOK_EVERY_S: Final = 5.0
_CREATE_TIMEOUT_S: Final = 30.0
_ENDED_JOB: Final = "concluded"


def open_disk(disk: Disk, opened: ExitStack) -> tuple[int, int | None]:
    """Descriptors of overlay and base, closed by the stack. Raises MachineFailed."""
    # No links: the paths are the catalog's, and nothing else may decide what a guest writes to.
    overlay = _open(disk.overlay, os.O_RDWR | os.O_NOFOLLOW, opened)
    base = None if disk.base is None else _open(disk.base, os.O_RDONLY, opened)
    return overlay, base


def attach(monitor: Monitor, disk: Disk) -> None:
    """Plug the disk in; plugged in already is fine. Raises MachineFailed."""
    top = node_name(disk.serial)
    nodes, plugged = _nodes(monitor), device_name(disk.serial) in _devices(monitor)
    if plugged and top in nodes:
        return
    if plugged:
        raise MachineFailed(f"the guest still holds on to the device of {disk.serial}")
    if top in nodes or _void(disk.serial) in nodes:
        _close(monitor, disk.serial)
    with ExitStack() as opened:
        overlay, base = open_disk(disk, opened)
        try:
            overlay_set = monitor.give(overlay, top)
            base_set = None if base is None else monitor.give(base, top)
            monitor.ask("blockdev-add", overlay_node(disk, overlay_set, base_set))
            monitor.ask("device_add", disk_device(disk.serial))
        except MachineFailed:
            with suppress(MachineFailed):
                _close(monitor, disk.serial)
            raise


def detach(monitor: Monitor, volume_id: VolumeId, *, force: bool) -> bool:
    """Unplug the disk and close it; True when both are done. Raises MachineFailed."""
    serial = disk_serial(volume_id)
    if node_name(serial) in _nodes(monitor) and not _unplugged(monitor, serial):
        if not force:
            return False
        _take_away(monitor, serial)
    _close(monitor, serial)
    return True


def grow(monitor: Monitor, volume_id: VolumeId, size_bytes: int) -> None:
    """Make the disk larger, for the guest too; as large already is fine. Raises MachineFailed."""
    node = node_name(disk_serial(volume_id))
    sizes = _nodes(monitor)
    if node not in sizes:
        raise MachineFailed(f"no disk {node} is attached")
    if sizes[node] < size_bytes:
        monitor.ask("block_resize", {"node-name": node, "size": size_bytes})


def copy(monitor: Monitor, targets: Mapping[VolumeId, Path]) -> None:
    """Copy the overlays as they are at this moment. See ComputeDriver.copy_disks."""
    sizes = _nodes(monitor)
    serials = {disk_serial(volume_id): path for volume_id, path in targets.items()}
    for serial in serials:
        if node_name(serial) not in sizes:
            raise MachineFailed(f"no disk {serial} is attached")
        _drop_copy(monitor, serial)  # of an earlier, interrupted call
    with ExitStack() as opened:
        files: dict[str, int] = {}
        try:
            for serial, path in serials.items():
                path.unlink(missing_ok=True)
                files[serial] = _open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, opened)
                _add_target(monitor, serial, files[serial], sizes[node_name(serial)])
            _back_up(monitor, list(serials))
            _drop_copies(monitor, list(serials))
            for descriptor in files.values():
                os.fsync(descriptor)
        except BaseException:
            with suppress(MachineFailed):
                _drop_copies(monitor, list(serials))
            for serial in files:
                serials[serial].unlink(missing_ok=True)
            raise


def abandon_copies(monitor: Monitor) -> None:
    """End the copies that a server which is no more had begun."""
    prefix = _target_file("")
    for name in _nodes(monitor):
        if name.startswith(prefix):
            _drop_copy(monitor, name.removeprefix(prefix))


def _open(path: Path, flags: int, opened: ExitStack) -> int:
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as wrong:
        raise MachineFailed(f"{path} cannot be opened: {wrong.strerror}") from wrong
    opened.callback(os.close, descriptor)
    return descriptor


def _nodes(monitor: Monitor) -> dict[str, int]:
    """The block nodes there are, and how many bytes a guest sees in each."""
    return monitor.read(
        "query-named-block-nodes",
        lambda told: {str(one["node-name"]): int(one["image"]["virtual-size"]) for one in told},
        {"flat": True},
    )


def _devices(monitor: Monitor) -> set[str]:
    return monitor.read(
        "qom-list",
        lambda told: {str(one["name"]) for one in told},
        {"path": "/machine/peripheral"},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    status: str
    error: str


def _jobs(monitor: Monitor) -> dict[str, _Job]:
    return monitor.read(
        "query-jobs",
        lambda told: {
            str(one["id"]): _Job(status=str(one["status"]), error=str(one.get("error") or ""))
            for one in told
        },
    )


def _unplugged(monitor: Monitor, serial: str) -> bool:
    """Ask the guest to let go of the device and wait for it a little."""
    device = device_name(serial)
    with monitor.expect(
        lambda name, data: (name, data.get("device")) == ("DEVICE_DELETED", device)
    ) as gone:
        if device not in _devices(monitor):
            return True
        # Refused when the guest was asked before and has not answered: then it is waited for.
        with suppress(MachineFailed):
            monitor.ask("device_del", {"id": device})
        return gone.wait(UNPLUG_TIMEOUT_S) or device not in _devices(monitor)


def _take_away(monitor: Monitor, serial: str) -> None:
    """Put nothing in the disk's place: the guest reads zeros from it and writes into the void.

    Errors would be more like EC2, but the device pauses the machine at an error.
    """
    void, top = _void(serial), node_name(serial)
    nodes = _nodes(monitor)
    if top not in nodes:
        return
    if void not in nodes:
        node = {"driver": "null-co", "node-name": void, "size": nodes[top], "read-zeroes": True}
        monitor.ask("blockdev-add", node)
    path = f"/machine/peripheral/{device_name(serial)}"
    monitor.ask("qom-set", {"path": path, "property": "drive", "value": void})


def _close(monitor: Monitor, serial: str) -> None:
    top, void = node_name(serial), _void(serial)
    nodes = _nodes(monitor)
    if top in nodes:
        monitor.ask("blockdev-del", {"node-name": top})
    monitor.take_back(top)
    if void in nodes and device_name(serial) not in _devices(monitor):
        monitor.ask("blockdev-del", {"node-name": void})


def _void(serial: str) -> str:
    return f"void-{serial}"


def _target(serial: str) -> str:
    return f"copy-{serial}"


def _target_file(serial: str) -> str:
    return f"copy-file-{serial}"


def _add_target(monitor: Monitor, serial: str, descriptor: int, size_bytes: int) -> None:
    """A new qcow2 in an empty file: clusters of a block each, as our overlays have."""
    file = monitor.give(descriptor, _target(serial))
    node = {"driver": "file", "node-name": _target_file(serial), "filename": fdset(file)}
    monitor.ask("blockdev-add", node | {"discard": "unmap"})
    job = f"create-{serial}"
    layout = {"cluster-size": BLOCK_BYTES, "extended-l2": True, "size": size_bytes}
    options = {"driver": "qcow2", "file": _target_file(serial), **layout}
    with monitor.expect(_job_ended(job)) as created:
        monitor.ask("blockdev-create", {"job-id": job, "options": options})
        if not created.wait(_CREATE_TIMEOUT_S):
            raise MachineFailed(f"no qcow2 could be made for {serial} in time")
    _require_success(monitor, [job])
    monitor.ask(
        "blockdev-add",
        {
            "driver": "qcow2",
            "node-name": _target(serial),
            "file": _target_file(serial),
            "discard": "unmap",
            "backing": None,
        },
    )


def _back_up(monitor: Monitor, serials: list[str]) -> None:
    """One transaction is one point in time; then the jobs copy, ahead of the guest's writes."""
    jobs = [_target(serial) for serial in serials]
    actions = [
        {
            "type": "blockdev-backup",
            "data": {
                "device": node_name(serial),
                "target": _target(serial),
                "job-id": _target(serial),
                "sync": "top",
                "auto-dismiss": False,
            },
        }
        for serial in serials
    ]
    grouped = {"completion-mode": "grouped"}  # one that fails ends the others
    deadline = time.monotonic() + _COPY_TIMEOUT_S
    with ExitStack() as expecting:
        ended = [expecting.enter_context(monitor.expect(_job_ended(job))) for job in jobs]
        monitor.ask("transaction", {"actions": actions, "properties": grouped})
        for job, one in zip(jobs, ended, strict=True):
            _wait_for_job(monitor, job, one, deadline)
    _require_success(monitor, jobs)


def _wait_for_job(monitor: Monitor, job: str, ended: Expected, deadline: float) -> None:
    """Its event wakes us, and now and then it is looked at: events may go missing, jobs end."""
    while not ended.wait(_LOOK_EVERY_S):
        found = _jobs(monitor).get(job)
        if found is not None and found.status == _ENDED_JOB:
            return
        if found is None or time.monotonic() > deadline:
            raise MachineFailed(f"{job} {'is lost' if found is None else 'does not end'}")


def _job_ended(job: str) -> Any:  # pyright: ignore[reportExplicitAny]
    def matches(name: str, data: Mapping[str, Any]) -> bool:
        told = (data.get("id"), data.get("status"))
        return name == "JOB_STATUS_CHANGE" and told == (job, _ENDED_JOB)

    return matches


def _require_success(monitor: Monitor, jobs: list[str]) -> None:
    told = _jobs(monitor)
    for job in jobs:
        monitor.ask("job-dismiss", {"id": job})
    for job in jobs:
        if job not in told:
            raise MachineFailed(f"{job} is lost")
        if error := told[job].error:
            raise MachineFailed(f"{job}: {error[:1000]}")


def _drop_copies(monitor: Monitor, serials: list[str]) -> None:
    for serial in serials:
        _drop_copy(monitor, serial)


def _drop_copy(monitor: Monitor, serial: str) -> None:
    """Cancel and remove whatever there is of a copy, so that its file is closed."""
    for name, job in _jobs(monitor).items():
        if name in (_target(serial), f"create-{serial}"):
            _end_job(monitor, name, job.status)
    nodes = _nodes(monitor)
    for name in (_target(serial), _target_file(serial)):
        if name in nodes:
            monitor.ask("blockdev-del", {"node-name": name})
    monitor.take_back(_target(serial))


def _end_job(monitor: Monitor, job: str, status: str) -> None:
    with monitor.expect(_job_ended(job)) as ended:
        if status != _ENDED_JOB:
            with suppress(MachineFailed):  # it may end by itself just now
                monitor.ask("job-cancel", {"id": job})
            ended.wait(_CREATE_TIMEOUT_S)
    monitor.ask("job-dismiss", {"id": job})
