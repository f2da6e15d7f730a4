"""Disks of a machine, asked of a QEMU that a test makes up."""

import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from openami.compute.driver import DiskCopy, MachineFailed
from openami.compute.qemu import disk_copies, disks
from openami.compute.qemu.command_line import disk_serial, node_name, overlay_file_name
from openami.compute.qemu.qmp import Expected, Monitor
from openami.domain.ids import VolumeId
from support.machines import a_disk, no_limit
from support.waiting import until

VOLUME = VolumeId("vol-0123456789abcdef0")
SERIAL = disk_serial(VOLUME)
NODES = [
    {"node-name": name, "image": {"virtual-size": 1 << 20}}
    for name in (node_name(SERIAL), overlay_file_name(SERIAL))
]


@dataclass
class MadeUpMonitor:
    """`answers` by command; a backup's job is as `copying` says, and nothing ever tells of it."""

    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    copying: list[str] = field(default_factory=list[str])
    asked: list[str] = field(default_factory=list[str])
    expected: list[Expected] = field(default_factory=list[Expected])

    def ask(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        self.asked.append(command)
        if command == "query-jobs" and "transaction" in self.asked:
            status = self.copying.pop(0) if len(self.copying) > 1 else self.copying[0]
            return [{"id": f"copy-{SERIAL}", "status": status}] if status else []
        if command == "query-jobs" and "blockdev-create" in self.asked:
            return [{"id": f"create-{SERIAL}", "status": "concluded"}]
        if command == "blockdev-create":
            self.expected[-1].come()
        default = NODES if command == "query-named-block-nodes" else []
        return self.answers.get(command, default)

    def read(self, command: str, reader: Callable[[Any], Any], *arguments: Any) -> Any:
        return reader(self.ask(command, *arguments))

    def give(self, descriptor: int, opaque: str) -> int:
        return 1

    def take_back(self, opaque: str) -> None: ...

    @contextmanager
    def expect(self, matches: Callable[..., bool]):
        self.expected.append(Expected(matches))
        yield self.expected[-1]


def copied(monitor: MadeUpMonitor, target: Path) -> None:
    disk_copies.copy(cast("Monitor", monitor), {VOLUME: DiskCopy(target=target)}, no_limit)


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_copies, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(disk_copies, "_CREATE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(disks, "UNPLUG_TIMEOUT_S", 0.01)


class LateMonitor:
    """It does what it is asked, and answers what plugs a disk in only when it is too late."""

    def __init__(self) -> None:
        self.nodes: set[str] = set()
        self.devices: set[str] = set()
        self.descriptors: set[str] = set()
        self.deaf = False

    def ask(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        if self.deaf:
            raise MachineFailed(f"no answer to {command}")
        return getattr(self, command.replace("-", "_"))(arguments or {})

    def read(self, command: str, reader: Callable[[Any], Any], *arguments: Any) -> Any:
        return reader(self.ask(command, *arguments))

    def give(self, descriptor: int, opaque: str) -> int:
        self.descriptors.add(opaque)
        return 1

    def take_back(self, opaque: str) -> None:
        self.descriptors.discard(opaque)

    @contextmanager
    def expect(self, matches: Callable[..., bool]):
        yield Expected(matches)

    def query_named_block_nodes(self, _: Mapping[str, Any]) -> Any:
        return [{"node-name": one, "image": {"virtual-size": 1}} for one in self.nodes]

    def qom_list(self, _: Mapping[str, Any]) -> Any:
        return [{"name": one} for one in self.devices]

    def blockdev_add(self, node: Mapping[str, Any]) -> None:
        self.nodes.add(node["node-name"])

    def device_add(self, device: Mapping[str, Any]) -> None:
        self.devices.add(device["id"])
        self.deaf = True
        raise MachineFailed("no answer to device_add")

    def device_del(self, _: Mapping[str, Any]) -> None: ...

    def qom_set(self, asked: Mapping[str, Any]) -> None:
        assert asked["value"] in self.nodes

    def blockdev_del(self, asked: Mapping[str, Any]) -> None:
        self.nodes.remove(asked["node-name"])


def test_a_disk_whose_attachment_failed_too_late_is_let_go_of_by_force_and_not_before(
    tmp_path: Path,
) -> None:
    monitor = LateMonitor()
    with pytest.raises(MachineFailed, match="device_add"):
        disks.attach(cast("Monitor", monitor), a_disk(tmp_path, volume_id=VOLUME, serial=SERIAL))
    assert monitor.descriptors, "the machine has it still"
    with pytest.raises(MachineFailed):
        disks.detach(cast("Monitor", monitor), VOLUME, force=True)
    monitor.deaf = False
    assert disks.detach(cast("Monitor", monitor), VOLUME, force=True)
    assert node_name(SERIAL) not in monitor.nodes
    assert not monitor.descriptors


def test_a_copy_whose_end_was_not_told_is_seen_to_have_ended(tmp_path: Path) -> None:
    monitor = MadeUpMonitor(copying=["running", "running", "concluded"])
    copied(monitor, tmp_path / "copy.qcow2")
    assert (tmp_path / "copy.qcow2").exists()


def test_a_copy_that_the_machine_knows_nothing_of_any_more_fails(tmp_path: Path) -> None:
    monitor = MadeUpMonitor(copying=["running", ""])
    with pytest.raises(MachineFailed, match="is lost"):
        copied(monitor, tmp_path / "copy.qcow2")
    assert not (tmp_path / "copy.qcow2").exists()


def test_a_copy_ends_with_its_machine(tmp_path: Path) -> None:
    monitor = MadeUpMonitor(copying=["running"])

    def killed() -> None:
        until(lambda: monitor.expected)
        monitor.expected[-1].broken_off("the monitor is gone")

    killer = threading.Thread(target=killed)
    killer.start()
    with pytest.raises(MachineFailed, match="monitor is gone"):
        copied(monitor, tmp_path / "copy.qcow2")
    killer.join()
