"""What a guest's PC is: arguments as a value, no process."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from openami.compute.driver import Disk, Firmware, Machine
from openami.compute.qemu.command_line import (
    Descriptors,
    DiskDescriptors,
    command_line,
    disk_serial,
    machine_uuid,
    node_name,
)
from openami.domain.ids import InstanceId, VolumeId
from support.net import a_port

ID = InstanceId("i-0123456789abcdef0")


def a_machine(disk_count: int = 1, **changes: object) -> Machine:
    disks = tuple(
        Disk(
            device_name=f"/dev/sd{n}",
            serial=f"vol{n:017x}",
            overlay=Path(f"/o{n}"),
            base=Path(f"/b{n}") if n % 2 == 0 else None,
        )
        for n in range(disk_count)
    )
    given = {
        "instance_id": ID,
        "instance_type": "t3.micro",
        "vcpus": 2,
        "memory_mib": 1024,
        "firmware": Firmware.BIOS,
        "disks": disks,
        "port": a_port("vpc-1", instance_id=ID),
    }
    return Machine(**(given | changes))  # type: ignore[arg-type]


def arguments(machine: Machine, accelerator: str = "tcg") -> list[str]:
    disks = tuple(
        DiskDescriptors(overlay=20 + 2 * n, base=None if disk.base is None else 21 + 2 * n)
        for n, disk in enumerate(machine.disks)
    )
    uefi = machine.firmware is Firmware.UEFI
    given = Descriptors(
        monitor=10,
        agent=9,
        tap=11,
        console=12,
        disks=disks,
        firmware_variables=13 if uefi else None,
    )
    return command_line(machine, accelerator, given)


def after(option: str, argv: list[str]) -> list[str]:
    return [value for name, value in pairwise(argv) if name == option]


def blockdevs(argv: list[str]) -> list[dict]:
    return [json.loads(value) for value in after("-blockdev", argv)]


def disk_devices(argv: list[str]) -> list[dict]:
    devices = [json.loads(value) for value in after("-device", argv) if value.startswith("{")]
    return [one for one in devices if one["driver"] == "virtio-blk-pci"]


def test_the_same_machine_always_gets_the_same_arguments() -> None:
    assert arguments(a_machine(3)) == arguments(a_machine(3))


def test_the_process_may_not_spawn_gain_rights_or_change_its_limits() -> None:
    [sandbox] = after("-sandbox", arguments(a_machine()))
    assert sandbox == "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


def test_the_process_is_told_no_path_of_ours() -> None:
    argv = " ".join(arguments(a_machine(4)))
    assert "/o" not in argv
    assert "/b" not in argv


def test_the_pc_is_pinned_so_that_an_upgrade_of_qemu_does_not_change_it() -> None:
    [machine] = after("-machine", arguments(a_machine()))
    assert machine.startswith("pc-i440fx-7.2,")


def test_the_first_disk_boots_and_no_other() -> None:
    assert [disk.get("bootindex") for disk in disk_devices(arguments(a_machine(3)))] == [
        *(1, None, None)
    ]


def test_twenty_seven_disks_have_a_slot_each() -> None:
    argv = arguments(a_machine(27))
    slots = [int(disk["addr"], 16) for disk in disk_devices(argv)]
    assert slots == list(range(5, 32))


def test_a_disk_pauses_its_machine_at_an_error_and_shows_its_serial() -> None:
    [disk] = disk_devices(arguments(a_machine()))
    assert (disk["rerror"], disk["werror"]) == ("stop", "stop")
    assert disk["serial"] == "vol00000000000000000"


def test_an_overlay_heeds_flushes_and_gives_space_back_and_its_base_is_never_written() -> None:
    [top] = blockdevs(arguments(a_machine()))
    assert top["cache"] == {"direct": False, "no-flush": False}
    assert (top["discard"], top["detect-zeroes"]) == ("unmap", "unmap")
    assert top["backing"]["driver"] == "raw"
    assert top["backing"]["read-only"] is True
    assert top["backing"]["file"]["read-only"] is True


def test_a_disk_without_a_base_has_no_backing_file_whatever_its_header_says() -> None:
    _, top = blockdevs(arguments(a_machine(2)))
    assert top["backing"] is None


def test_each_descriptor_is_in_a_set_of_its_own() -> None:
    added = after("-add-fd", arguments(a_machine(3, firmware=Firmware.UEFI)))
    sets = [option.split(",")[1] for option in added]
    assert len(sets) == len(set(sets)) == 7


def test_node_names_are_short_enough_for_qemu() -> None:
    longest = disk_serial(VolumeId("vol-0123456789abcdef0"))
    assert len(longest) == 20
    assert len(f"copy-file-{longest}") <= 31
    assert len(node_name(longest)) <= 31


def test_a_guest_learns_from_its_bios_that_it_is_on_ec2_and_who_it_is() -> None:
    argv = arguments(a_machine())
    uuid = machine_uuid(ID)
    bios, system, board, chassis = after("-smbios", argv)
    assert bios == "type=0,vendor=Amazon EC2,version=1.0,date=10/16/2017"
    assert f"serial={uuid},uuid={uuid}" in system
    assert "product=t3.micro" in system
    assert board == f"type=2,manufacturer=Amazon EC2,asset={ID}"
    assert "manufacturer=Amazon EC2" in chassis
    assert after("-uuid", argv) == [uuid]


def test_a_machines_uuid_begins_with_ec2_and_is_its_own() -> None:
    uuid = machine_uuid(ID)
    assert uuid.startswith("ec2")
    assert [len(part) for part in uuid.split("-")] == [8, 4, 4, 4, 12]
    assert uuid == machine_uuid(ID)
    assert uuid != machine_uuid(InstanceId("i-0123456789abcdef1"))


def test_a_comma_in_an_instance_type_adds_no_option() -> None:
    argv = arguments(replace(a_machine(), instance_type="t3,asset=x"))
    assert "product=t3,,asset=x" in after("-smbios", argv)[1]


def test_uefi_reads_its_code_from_the_host_and_its_variables_from_the_machine() -> None:
    code, variables = blockdevs(arguments(a_machine(0, firmware=Firmware.UEFI)))
    assert code["read-only"] is True
    assert code["file"]["filename"].endswith("OVMF_CODE_4M.fd")
    assert variables["file"]["filename"].startswith("/dev/fdset/")


def test_kvm_shows_the_guest_the_hosts_processor_and_tcg_bounds_its_cache() -> None:
    assert after("-cpu", arguments(a_machine(), "kvm")) == ["host"]
    assert after("-accel", arguments(a_machine())) == ["tcg,thread=multi,tb-size=128"]
