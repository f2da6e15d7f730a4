"""The disks that openami builds boot in a plain QEMU, by either firmware, and shut down."""

import subprocess
from pathlib import Path

import pytest

from openami.diskimage.gpt import MIB
from openami.diskimage.tiny import build_tiny
from support.disks import debian_disk, tiny_disk
from support.plain_machine import INSTANCE_ID, SERIAL, a_copy, plain_machine

pytestmark = pytest.mark.boot

USER_DATA = "#!/bin/sh\necho user data as $(id -u) on $(hostname)\n"
METADATA = {
    "api/token": "TOKEN",
    "meta-data/instance-id": INSTANCE_ID,
    "meta-data/hostname": "ip-10-0-0-5.ec2.internal",
    "user-data": USER_DATA,
}
OFF_S = 30.0


@pytest.mark.parametrize("uefi", [False, True], ids=["bios", "uefi"])
def test_tiny_boots_names_its_disk_and_heeds_the_power_button(tmp_path: Path, uefi: bool) -> None:
    with plain_machine(a_copy(tiny_disk(), tmp_path), tmp_path, uefi=uefi) as machine:
        machine.wait_for("tiny: READY", 60)
        assert f"tiny: disk vda serial={SERIAL} size={64 * MIB}" in machine.console
        machine.monitor("system_powerdown")
        machine.wait_off(OFF_S)
        assert "tiny: power button" in machine.console


def test_tiny_runs_user_data_once_for_an_instance(tmp_path: Path) -> None:
    disk = a_copy(tiny_disk(), tmp_path)
    with plain_machine(disk, tmp_path, metadata=METADATA) as machine:
        machine.wait_for("tiny: READY", 60)
        assert "user data as 0 on ip-10-0-0-5.ec2.internal" in machine.console
        assert "tiny: user-data rc=0" in machine.console
        machine.monitor("system_reset")
        machine.wait_for("tiny: READY", 60, times=2)
        assert "tiny: not the first boot of this instance" in machine.console
        assert machine.console.count("tiny: user-data start") == 1


def test_tiny_runs_user_data_again_as_another_instance(tmp_path: Path) -> None:
    disk = a_copy(tiny_disk(), tmp_path)
    for instance_id in (INSTANCE_ID, "i-0fedcba9876543210"):
        metadata = METADATA | {"meta-data/instance-id": instance_id}
        with plain_machine(disk, tmp_path, metadata=metadata) as machine:
            machine.wait_for("tiny: READY", 60)
            assert "tiny: user-data rc=0" in machine.console
            machine.monitor("system_powerdown")
            machine.wait_off(OFF_S)


@pytest.mark.parametrize("command", ["reboot", "/sbin/reboot", "exec busybox reboot"])
def test_tiny_can_reboot_itself(tmp_path: Path, command: str) -> None:
    script = f"#!/bin/sh\n{command}\nsleep 60\n"
    metadata = METADATA | {"user-data": script}
    with plain_machine(a_copy(tiny_disk(), tmp_path), tmp_path, metadata=metadata) as machine:
        machine.wait_for("tiny: READY", 90)
        assert machine.console.count("tiny: init") == 2
        assert "tiny: not the first boot" in machine.console


def test_tiny_sees_disks_come_and_go(tmp_path: Path) -> None:
    extra = tmp_path / "extra.raw"
    with extra.open("wb") as file:
        file.truncate(16 * MIB)
    with plain_machine(a_copy(tiny_disk(), tmp_path), tmp_path) as machine:
        machine.wait_for("tiny: READY", 60)
        machine.monitor(
            f"drive_add 0 file={extra},if=none,id=extra,format=raw",
            "device_add virtio-blk-pci,drive=extra,id=extra-device,serial=vol0extra",
        )
        machine.wait_for(f"tiny: disk vdb serial=vol0extra size={16 * MIB}", 20)
        machine.monitor("device_del extra-device")
        machine.wait_for("tiny: disk vdb gone", 20)


def test_the_same_packages_give_the_same_bytes(tmp_path: Path) -> None:
    disks = [tmp_path / "one.raw", tmp_path / "two.raw"]
    for disk in disks:
        work = tmp_path / f"{disk.name}-work"
        work.mkdir()
        build_tiny(disk, work, print)
    assert disks[0].read_bytes() == disks[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("uefi", [False, True], ids=["bios", "uefi"])
def test_debian_boots_grows_its_root_and_heeds_the_power_button(tmp_path: Path, uefi: bool) -> None:
    disk = a_copy(debian_disk(), tmp_path, size_bytes=4096 * MIB)
    with plain_machine(disk, tmp_path, memory_mib=512, uefi=uefi) as machine:
        machine.wait_for("debian login:", 150)
        machine.wait_for("Cloud-init v.* finished at", 60)
        machine.monitor("system_powerdown")
        machine.wait_off(OFF_S)
    offset = root_offset_bytes(disk)
    told = subprocess.run(
        ["dumpe2fs", "-h", f"{disk}?offset={offset}"], capture_output=True, text=True, check=True
    )
    blocks = next(line for line in told.stdout.splitlines() if line.startswith("Block count"))
    assert int(blocks.split()[-1]) * 4096 > 4000 * MIB


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "content"),
    [("/etc/machine-id", ""), ("/etc/resolv.conf", ""), ("/etc/hostname", "debian\n")],
)
def test_debian_carries_nothing_of_the_build_machine(path: str, content: str) -> None:
    assert debugfs(f"cat {path}") == content


@pytest.mark.slow
def test_debian_has_no_keys_logs_or_package_lists() -> None:
    assert "ssh_host" not in debugfs("ls /etc/ssh")
    assert ".ssh" not in debugfs("ls /root")
    assert "InRelease" not in debugfs("ls /var/lib/apt/lists")
    assert "dpkg.log" not in debugfs("ls /var/log")
    assert "deb.debian.org" in debugfs("cat /etc/apt/sources.list")


@pytest.mark.slow
def test_debians_ping_keeps_its_capability() -> None:
    assert "security.capability" in debugfs("ea_list /usr/bin/ping")


def debugfs(command: str) -> str:
    disk = debian_disk()
    place = f"{disk}?offset={root_offset_bytes(disk)}"
    done = subprocess.run(
        ["debugfs", "-R", command, place], capture_output=True, text=True, check=True
    )
    return done.stdout


def root_offset_bytes(disk: Path) -> int:
    """From the first entry of the partition table, which is the root's."""
    with disk.open("rb") as file:
        file.seek(2 * 512 + 32)
        return int.from_bytes(file.read(8), "little") * 512
