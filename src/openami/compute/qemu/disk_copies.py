"""Copies of a running machine's disks at one point in time, whose cost is what changed.

A mark is a dirty bitmap of QEMU on the disk's top node: it notes which blocks change from its
beginning on. A copy is a job that copies blocks, ahead of the guest's writes to them: those that
a mark has noted or, without one, those that the overlay holds. QEMU's manual, "Dirty Bitmaps and
Incremental Backup" and "blockdev-backup".

Marks are not kept in the overlay. So one that QEMU tells of is of this process, and has seen each
write to this disk since it was made.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Final

from openami.compute.driver import DiskCopy, MachineFailed, Needs
from openami.compute.qemu.command_line import (
    copy_file_name,
    copy_name,
    disk_serial,
    fdset,
    node_name,
    overlay_file_name,
)
from openami.compute.qemu.disks import open_file
from openami.compute.qemu.qmp import Expected, Monitor
from openami.domain.block import BLOCK_BYTES
from openami.domain.ids import VolumeId

MARKS_MAX: Final = 16
"""Each costs the guest a little with every write. Beyond them a copy gets no mark."""

_MARK: Final = "since-"
_COPY_TIMEOUT_S: Final = 24 * 3600.0
_LOOK_EVERY_S: Final = 5.0
_CREATE_TIMEOUT_S: Final = 30.0
# Of QEMU's 64 the guest's own writes would wait in line: 100 ms and more, and it copies no faster.
_WORKERS: Final = 2
# QEMU closes the file in the thread that the guest's disks wait for; we make it durable.
_UNFLUSHED: Final = {"direct": False, "no-flush": True}
_ENDED_JOB: Final = "concluded"
_L2_TABLE_SPANS: Final = BLOCK_BYTES // 16 * BLOCK_BYTES  # of the disk, with extended entries
_FIRST_TABLES: Final = 8  # header, refcounts, L1, and some to spare
_ROOM_TO_SPARE: Final = 32 << 20  # for what the guest writes while the room is made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """`whole` is whether it has noted every change since it was made."""

    name: str
    noted_bytes: int
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    size_bytes: int
    marks: Mapping[str, _Mark]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """One disk's copy: `since` is the bitmap that says which blocks, if there is one."""

    serial: str
    wanted: DiskCopy
    since: _Mark | None
    size_bytes: int
    room_bytes: int


def copy(
    monitor: Monitor,
    copies: Mapping[VolumeId, DiskCopy],
    needs: Needs,
    still: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> frozenset[VolumeId]:
    """See ComputeDriver.copy_disks. `still` is entered around the moment of the copy alone."""
    serials = {volume_id: disk_serial(volume_id) for volume_id in copies}
    _drop_all(monitor, serials.values())  # of an interrupted call, whose jobs hold on to marks
    nodes = _nodes(monitor)
    plans = {each: _planned(nodes, serials[each], wanted) for each, wanted in copies.items()}
    needs(sum(plan.room_bytes for plan in plans.values()))
    for plan in plans.values():
        _mark(monitor, nodes[node_name(plan.serial)], plan)
    try:
        _fill(monitor, list(plans.values()), still)
    except BaseException:
        with suppress(MachineFailed):
            _drop_all(monitor, serials.values())
        for plan in plans.values():
            plan.wanted.target.unlink(missing_ok=True)
        raise
    return frozenset(each for each, plan in plans.items() if plan.since is not None)


def _fill(
    monitor: Monitor, plans: Sequence[_Plan], still: Callable[[], AbstractContextManager[None]]
) -> None:
    """Make the targets, copy to them all at once, close them, make them durable."""
    with ExitStack() as opened:
        descriptors = [_add_target(monitor, plan, opened) for plan in plans]
        _back_up(monitor, plans, still)
        _drop_all(monitor, (plan.serial for plan in plans))
        for descriptor in descriptors:
            os.fsync(descriptor)


def abandon(monitor: Monitor) -> None:
    """End the copies that a server which is no more had begun. Marks stay."""
    prefix = copy_file_name("")
    for name in _nodes(monitor):
        if name.startswith(prefix):
            _drop(monitor, name.removeprefix(prefix))


def _planned(nodes: Mapping[str, _Node], serial: str, wanted: DiskCopy) -> _Plan:
    node, file = nodes.get(node_name(serial)), nodes.get(overlay_file_name(serial))
    if node is None or file is None:
        raise MachineFailed(f"no disk {serial} is attached")
    since = None if wanted.since is None else node.marks.get(_MARK + wanted.since)
    since = since if since is not None and since.whole else None
    # The overlay's file has a whole cluster for each block that the overlay has a part of.
    data = file.size_bytes if since is None else since.noted_bytes
    tables = _FIRST_TABLES + 2 * -(-node.size_bytes // _L2_TABLE_SPANS)
    return _Plan(
        serial=serial,
        wanted=wanted,
        since=since,
        size_bytes=node.size_bytes,
        room_bytes=min(data + _ROOM_TO_SPARE, node.size_bytes) + tables * BLOCK_BYTES,
    )


def _mark(monitor: Monitor, node: _Node, plan: _Plan) -> None:
    """Forget the marks that are of no use, and begin the new one.

    That is a little before the point in time: what is noted too much is compared once more,
    what were noted too little would be lost.
    """
    wanted, top = plan.wanted, node_name(plan.serial)
    needed = {_MARK + each for each in (*wanted.keep, wanted.since) if each is not None}
    needed.discard(f"{_MARK}{wanted.mark}")  # of an attempt that was cut off
    kept = needed & set(node.marks)
    for name in set(node.marks) - kept:
        monitor.ask("block-dirty-bitmap-remove", {"node": top, "name": name})
    if wanted.mark is not None and len(kept) < MARKS_MAX:
        bitmap = {"node": top, "name": _MARK + wanted.mark, "granularity": BLOCK_BYTES}
        monitor.ask("block-dirty-bitmap-add", bitmap | {"persistent": False})


def _nodes(monitor: Monitor) -> dict[str, _Node]:
    """The block nodes there are, with our marks on them."""

    def nodes(told: Any) -> dict[str, _Node]:  # pyright: ignore[reportExplicitAny]
        return {
            str(one["node-name"]): _Node(
                size_bytes=int(one["image"]["virtual-size"]),
                marks={mark.name: mark for mark in map(_as_mark, one.get("dirty-bitmaps", ()))},
            )
            for one in told
        }

    return monitor.read("query-named-block-nodes", nodes, {"flat": True})


def _as_mark(told: Mapping[str, Any]) -> _Mark:
    ours = str(told["name"]).startswith(_MARK) and told["granularity"] == BLOCK_BYTES
    live = told["recording"] is True and not told.get("inconsistent")
    return _Mark(
        name=str(told["name"]),
        noted_bytes=int(told["count"]),
        whole=ours and live and told["persistent"] is False,
    )


def _add_target(monitor: Monitor, plan: _Plan, opened: ExitStack) -> int:
    """A new qcow2 with clusters of a block each, as our overlays have, and with all its room.

    A guest's write waits until what it overwrites is copied, and fails if that fails. So the
    room is there before the guest depends on it, or the copy is not begun. Its descriptor.
    """
    serial, path = plan.serial, plan.wanted.target
    path.unlink(missing_ok=True)
    descriptor = open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, opened)
    os.posix_fallocate(descriptor, 0, plan.room_bytes)
    file = fdset(monitor.give(descriptor, copy_name(serial)))
    node = {"driver": "file", "node-name": copy_file_name(serial), "filename": file}
    monitor.ask("blockdev-add", node | {"cache": _UNFLUSHED})
    job = _creation(serial)
    layout = {"cluster-size": BLOCK_BYTES, "extended-l2": True, "size": plan.size_bytes}
    options = {"driver": "qcow2", "file": copy_file_name(serial), **layout}
    with monitor.expect(_job_ended(job)) as created:
        monitor.ask("blockdev-create", {"job-id": job, "options": options})
        if not created.wait(_CREATE_TIMEOUT_S):
            raise MachineFailed(f"no qcow2 could be made for {serial} in time")
    _require_success(monitor, [job])
    monitor.ask(
        "blockdev-add",
        {
            "driver": "qcow2",
            "node-name": copy_name(serial),
            "file": copy_file_name(serial),
            "backing": None,
            "cache": _UNFLUSHED,
        },
    )
    return descriptor


def _back_up(
    monitor: Monitor, plans: Sequence[_Plan], still: Callable[[], AbstractContextManager[None]]
) -> None:
    """One transaction is one point in time; then the jobs copy, ahead of the guest's writes."""
    actions = [{"type": "blockdev-backup", "data": _backup(plan)} for plan in plans]
    jobs = [copy_name(plan.serial) for plan in plans]
    grouped = {"completion-mode": "grouped"}  # one that fails ends the others
    deadline = time.monotonic() + _COPY_TIMEOUT_S
    with ExitStack() as expecting:
        ended = [expecting.enter_context(monitor.expect(_job_ended(job))) for job in jobs]
        with still():
            monitor.ask("transaction", {"actions": actions, "properties": grouped})
        for job, one in zip(jobs, ended, strict=True):
            _wait_for_job(monitor, job, one, deadline)
    _require_success(monitor, jobs)


def _backup(plan: _Plan) -> dict[str, object]:
    # The mark itself is left as it is: it counts until the new one's snapshot is stored.
    since = plan.since
    blocks = {"sync": "bitmap", "bitmap": since.name, "bitmap-mode": "never"} if since else None
    return {
        "device": node_name(plan.serial),
        "target": copy_name(plan.serial),
        "job-id": copy_name(plan.serial),
        "auto-dismiss": False,
        "x-perf": {"max-workers": _WORKERS},
        **(blocks or {"sync": "top"}),
    }


def _wait_for_job(monitor: Monitor, job: str, ended: Expected, deadline: float) -> None:
    """Its event wakes us, and now and then it is looked at: events may go missing, jobs end."""
    while not ended.wait(_LOOK_EVERY_S):
        found = _jobs(monitor).get(job)
        if found is not None and found.status == _ENDED_JOB:
            return
        if found is None or time.monotonic() > deadline:
            raise MachineFailed(f"{job} {'is lost' if found is None else 'does not end'}")


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


def _job_ended(job: str) -> Callable[[str, Mapping[str, Any]], bool]:
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


def _creation(serial: str) -> str:
    return f"create-{serial}"


def _drop_all(monitor: Monitor, serials: Iterable[str]) -> None:
    for serial in serials:
        _drop(monitor, serial)


def _drop(monitor: Monitor, serial: str) -> None:
    """Cancel and remove whatever there is of a copy, so that its file is closed."""
    for name, job in _jobs(monitor).items():
        if name in (copy_name(serial), _creation(serial)):
            _end_job(monitor, name, job.status)
    nodes = _nodes(monitor)
    for name in (copy_name(serial), copy_file_name(serial)):
        if name in nodes:
            monitor.ask("blockdev-del", {"node-name": name})
    monitor.take_back(copy_name(serial))


def _end_job(monitor: Monitor, job: str, status: str) -> None:
    with monitor.expect(_job_ended(job)) as ended:
        if status != _ENDED_JOB:
            with suppress(MachineFailed):  # it may end by itself just now
                monitor.ask("job-cancel", {"id": job})
            ended.wait(_CREATE_TIMEOUT_S)
    monitor.ask("job-dismiss", {"id": job})
