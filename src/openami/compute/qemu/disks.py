"""Disks of a running machine, over QMP: plug, unplug, pivot, grow.

Nothing is remembered here: QEMU is asked what it has. Block nodes, devices and descriptors are
named after the disk's serial, so each call finds what an earlier, interrupted one left.
"""

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from openami.compute.driver import Disk, MachineFailed
from openami.compute.qemu.command_line import (
    base_name,
    base_node,
    device_name,
    disk_device,
    disk_serial,
    export_name,
    export_node,
    node_name,
    overlay_node,
    pivoted_node,
)
from openami.compute.qemu.qmp import Monitor
from openami.domain.ids import VolumeId

UNPLUG_TIMEOUT_S: Final = 5.0


def open_disk(disk: Disk, opened: ExitStack) -> tuple[int, int | None]:
    """Descriptors of overlay and base, closed by the stack. Raises MachineFailed."""
    # No links: the paths are the catalog's, and nothing else may decide what a guest writes to.
    overlay = open_file(disk.overlay, os.O_RDWR | os.O_NOFOLLOW, opened)
    base = None if disk.base is None else open_file(disk.base, os.O_RDONLY, opened)
    return overlay, base


def attach(monitor: Monitor, disk: Disk, exports: int | None = None) -> None:
    """Plug the disk in; plugged in already is fine. Raises MachineFailed.

    `exports` is the machine's own descriptor of where the disk's export is, if it has one.
    """
    top = node_name(disk.serial)
    nodes, plugged = _nodes(monitor), device_name(disk.serial) in _devices(monitor)
    if plugged and top in nodes:
        return
    if plugged:
        raise MachineFailed(f"the guest still holds on to the device of {disk.serial}")
    if nodes.keys() & {top, _void(disk.serial), *_below(disk.serial)}:
        _close(monitor, disk.serial)
    with ExitStack() as opened:
        overlay, base = open_disk(disk, opened)
        try:
            overlay_set = monitor.give(overlay, top)
            base_set = None if base is None else monitor.give(base, top)
            if exports is not None:
                monitor.ask("blockdev-add", export_node(disk, exports))
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


def pivot(monitor: Monitor, volume_id: VolumeId, base: Path) -> None:
    """Have the disk read `base` in place of its export. See ComputeDriver.pivot.

    What is asked of QEMU is what is left to do: whoever did a part of it may have died.
    """
    serial = disk_serial(volume_id)
    top, nodes = node_name(serial), _nodes(monitor)
    if export_name(serial) not in nodes:
        return
    if top in nodes:
        with ExitStack() as opened:
            if base_name(serial) not in nodes:
                file = monitor.give(open_file(base, os.O_RDONLY, opened), top)
                monitor.ask("blockdev-add", base_node(serial, file))
            monitor.ask("blockdev-reopen", {"options": [pivoted_node(serial)]})
    monitor.ask("blockdev-del", {"node-name": export_name(serial)})


def grow(monitor: Monitor, volume_id: VolumeId, size_bytes: int) -> None:
    """Make the disk larger, for the guest too; as large already is fine. Raises MachineFailed."""
    node = node_name(disk_serial(volume_id))
    sizes = _nodes(monitor)
    if node not in sizes:
        raise MachineFailed(f"no disk {node} is attached")
    if sizes[node] < size_bytes:
        monitor.ask("block_resize", {"node-name": node, "size": size_bytes})


def open_file(path: Path, flags: int, opened: ExitStack) -> int:
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
    for name in nodes.keys() & _below(serial) & _nodes(monitor).keys():
        monitor.ask("blockdev-del", {"node-name": name})
    monitor.take_back(top)
    if void in nodes and device_name(serial) not in _devices(monitor):
        monitor.ask("blockdev-del", {"node-name": void})


def _below(serial: str) -> set[str]:
    """Nodes that do not go with the disk's overlay, if there is one: an export, a pivot's base."""
    return {export_name(serial), base_name(serial)}


def _void(serial: str) -> str:
    return f"void-{serial}"
