"""From a machine to QEMU's arguments: pure, and the one place that says what a guest's PC is.

QEMU opens no file of ours: disks, console, monitor and tap are given to it as descriptors, and
`Descriptors` says under which numbers. Options: QEMU's manual, section "Invocation".
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openami.compute.driver import Disk, Firmware, Machine
from openami.domain.ids import InstanceId, VolumeId

QEMU: Final = "qemu-system-x86_64"
# Pinned: a guest must find the same PC after QEMU has been upgraded.
MACHINE_TYPE: Final = "pc-i440fx-7.2"
UEFI_CODE: Final = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
UEFI_VARIABLES: Final = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

AGENT: Final = "agent"  # the channel to the guest's own agent
_AGENT_PORT: Final = "org.qemu.guest_agent.0"  # where every distribution's agent looks for it

# PCI slots. 0 and 1 are the chipset; disks have what follows, in their order, so that a guest
# finds a disk where it was. 27 disks fit, counting those plugged in later.
_VGA_SLOT, _NETWORK_SLOT, _RNG_SLOT, _FIRST_DISK_SLOT = 2, 3, 4, 5
_CONSOLE_SET, _VARIABLES_SET, _FIRST_DISK_SET = 1, 2, 10

_SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
# While the block daemon restarts, reads wait so long; then the machine pauses and is resumed.
# A drain waits as long: it must end within the time that a command has (qmp.TIMEOUT_S).
_RECONNECT_S: Final = 8
_OPEN_S: Final = 5
_ACCELERATOR: Final = {
    # The default translation cache costs over 1 GB of memory a guest.
    "tcg": ("-accel", "tcg,thread=multi,tb-size=128"),
    "kvm": ("-accel", "kvm", "-cpu", "host"),
}

Node = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskDescriptors:
    overlay: int
    base: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """Numbers of the open descriptors that the new process inherits."""

    monitor: int  # a unix socket that listens
    tap: int
    agent: int  # a unix socket that listens
    console: int  # opened to append
    disks: tuple[DiskDescriptors, ...]  # in the order of the machine's
    firmware_variables: int | None  # of a UEFI machine
    exports: int | None = None  # the directory of the block daemon's sockets, with O_PATH

    def numbers(self) -> list[int]:
        numbers = [self.monitor, self.agent, self.console, self.tap]
        for disk in self.disks:
            numbers += [disk.overlay] if disk.base is None else [disk.overlay, disk.base]
        optional = (self.firmware_variables, self.exports)
        return [*numbers, *(each for each in optional if each is not None)]


def command_line(machine: Machine, accelerator: str, given: Descriptors) -> list[str]:
    """QEMU's arguments, its name first. `accelerator` is "kvm" or "tcg"."""
    return [
        *(QEMU, "-name", f"guest={machine.instance_id},debug-threads=on"),
        *("-nodefaults", "-no-user-config", "-sandbox", _SANDBOX, "-display", "none"),
        *("-machine", _machine_type(machine), *_ACCELERATOR[accelerator]),
        *("-smp", str(machine.vcpus), "-m", f"{machine.memory_mib}M", "-rtc", "base=utc"),
        *_smbios(machine),
        *("-chardev", f"socket,id=monitor,fd={given.monitor},server=on,wait=off"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-add-fd", f"fd={given.console},set={_CONSOLE_SET},opaque=console"),
        *("-chardev", f"file,id=console,path={fdset(_CONSOLE_SET)},append=on"),
        *("-serial", "chardev:console"),
        *("-device", f"VGA,id=screen,addr={_VGA_SLOT:#x}"),
        *("-netdev", f"tap,id=network,fd={given.tap}"),
        *("-device", _json(_network_card(machine))),
        # One slot for both, so that a disk more fits.
        *("-device", f"virtio-rng-pci,id=chance,addr={_RNG_SLOT:#x},multifunction=on"),
        *_agent(given),
        *_firmware(machine, given),
        *_disks(machine, given),
    ]


def disk_serial(volume_id: VolumeId) -> str:
    """What the guest reads as the disk's serial number, as on EC2's Nitro machines."""
    return volume_id.replace("-", "")


def node_name(serial: str) -> str:
    """The block node of the disk's overlay. Node names have at most 31 bytes."""
    return f"top-{serial}"


def base_name(serial: str) -> str:
    return f"base-{serial}"


def export_name(serial: str) -> str:
    """The block node of what the block daemon serves in the base's place."""
    return f"cold-{serial}"


def device_name(serial: str) -> str:
    return f"disk-{serial}"


def overlay_file_name(serial: str) -> str:
    return f"top-file-{serial}"


def copy_name(serial: str) -> str:
    """The node, and the job, of a copy that is being made of the disk."""
    return f"copy-{serial}"


def copy_file_name(serial: str) -> str:
    return f"copy-file-{serial}"


def fdset(number: int) -> str:
    """How QEMU names a set of descriptors where it wants a file name."""
    return f"/dev/fdset/{number}"


def overlay_node(disk: Disk, overlay: int, base: int | None) -> Node:
    """The block graph of one disk, for -blockdev and blockdev-add. Numbers are of fd sets.

    The node of an export is there before. `cache` keeps the host's page cache and heeds the
    guest's flushes: what the guest was told is on disk, is. Zeros and discards give space back.
    """
    file = _file_node(overlay_file_name(disk.serial), overlay) | {"discard": "unmap"}
    if base is not None:
        return _overlay(disk.serial, file, base_node(disk.serial, base))
    return _overlay(disk.serial, file, None if disk.export is None else export_name(disk.serial))


def pivoted_node(serial: str) -> Node:
    """The disk's overlay as it is to be reopened when its base has become a file."""
    return _overlay(serial, overlay_file_name(serial), base_name(serial))


def base_node(serial: str, base: int) -> Node:
    """A base that is a file of this host."""
    return {
        "driver": "raw",
        "node-name": base_name(serial),
        "read-only": True,
        "file": _file_node(f"base-file-{serial}", base) | {"read-only": True},
    }


def export_node(disk: Disk, exports: int) -> Node:
    """A base that the block daemon serves; `exports` is QEMU's own descriptor of the directory.

    By way of it the socket is found again whenever QEMU connects anew, wherever the directory
    lies and whoever may walk there; and its name fits (unix(7): 108 bytes).
    """
    assert disk.export is not None
    return {
        "driver": "nbd",
        "node-name": export_name(disk.serial),
        "read-only": True,
        "server": {"type": "unix", "path": f"/proc/self/fd/{exports}/{disk.export.name}"},
        "reconnect-delay": _RECONNECT_S,
        "open-timeout": _OPEN_S,
    }


def disk_device(serial: str) -> dict[str, object]:
    """A guest pauses rather than loses its disk: it goes on when the disk is back."""
    return {
        "driver": "virtio-blk-pci",
        "id": device_name(serial),
        "drive": node_name(serial),
        "serial": serial,
        "rerror": "stop",
        "werror": "stop",
    }


def machine_uuid(instance_id: InstanceId) -> str:
    """Always the same for an instance; begins with ec2, by which guests know where they are.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html
    """
    digits = hashlib.sha256(instance_id.encode()).hexdigest()
    return f"ec2{digits[:5]}-{digits[5:9]}-4{digits[9:12]}-8{digits[12:15]}-{digits[15:27]}"


def _file_node(name: str, number: int) -> dict[str, object]:
    return {"driver": "file", "node-name": name, "filename": fdset(number), "aio": "threads"}


def _overlay(serial: str, file: Node | str, backing: Node | str | None) -> Node:
    return {
        "driver": "qcow2",
        "node-name": node_name(serial),
        "discard": "unmap",
        "detect-zeroes": "unmap",
        "cache": {"direct": False, "no-flush": False},
        "file": file,
        "backing": backing,
    }


def _json(value: Node) -> str:
    return json.dumps(value, separators=(",", ":"))


def _escaped(text: str) -> str:
    """QEMU's option lists double a comma that is meant."""
    return text.replace(",", ",,")


def _machine_type(machine: Machine) -> str:
    firmware = machine.firmware is Firmware.UEFI
    pflash = ",pflash0=firmware,pflash1=firmware-variables" if firmware else ""
    return f"{MACHINE_TYPE},dump-guest-core=off,vmport=off{pflash}"


def _smbios(machine: Machine) -> list[str]:
    uuid, product = machine_uuid(machine.instance_id), _escaped(machine.instance_type)
    system = f"manufacturer=Amazon EC2,product={product},version=,serial={uuid},uuid={uuid}"
    return [
        *("-uuid", uuid),
        *("-smbios", "type=0,vendor=Amazon EC2,version=1.0,date=10/16/2017"),
        *("-smbios", f"type=1,{system},sku=,family="),
        *("-smbios", f"type=2,manufacturer=Amazon EC2,asset={machine.instance_id}"),
        *("-smbios", "type=3,manufacturer=Amazon EC2,asset=Amazon EC2"),
    ]


def _network_card(machine: Machine) -> Node:
    return {
        "driver": "virtio-net-pci",
        "id": "card",
        "netdev": "network",
        "mac": machine.port.mac,
        "romfile": "",  # no network boot: it would only cost time
        "addr": f"{_NETWORK_SLOT:#x}",
    }


def _agent(given: Descriptors) -> list[str]:
    return [
        *("-chardev", f"socket,id={AGENT},fd={given.agent},server=on,wait=off"),
        *("-device", f"virtio-serial-pci,id=channels,max_ports=2,addr={_RNG_SLOT:#x}.1"),
        *("-device", f"virtserialport,bus=channels.0,chardev={AGENT},name={_AGENT_PORT}"),
    ]


def _firmware(machine: Machine, given: Descriptors) -> list[str]:
    if machine.firmware is not Firmware.UEFI:
        return []
    code = {"driver": "file", "filename": str(UEFI_CODE), "read-only": True}
    variables = _file_node("firmware-variables-file", _VARIABLES_SET)
    return [
        *("-add-fd", f"fd={given.firmware_variables},set={_VARIABLES_SET},opaque=firmware"),
        *("-blockdev", _json(_raw("firmware", code) | {"read-only": True})),
        *("-blockdev", _json(_raw("firmware-variables", variables))),
    ]


def _raw(name: str, file: Node) -> dict[str, object]:
    return {"driver": "raw", "node-name": name, "file": file}


def _disks(machine: Machine, given: Descriptors) -> list[str]:
    arguments: list[str] = []
    for index, (disk, opened) in enumerate(zip(machine.disks, given.disks, strict=True)):
        overlay = _FIRST_DISK_SET + 2 * index
        base = None if opened.base is None else overlay + 1
        opaque = node_name(disk.serial)
        arguments += ["-add-fd", f"fd={opened.overlay},set={overlay},opaque={opaque}"]
        if opened.base is not None:
            arguments += ["-add-fd", f"fd={opened.base},set={base},opaque={opaque}"]
        device = disk_device(disk.serial) | {"addr": f"{_FIRST_DISK_SLOT + index:#x}"}
        if index == 0:
            device["bootindex"] = 1
        if disk.export is not None:
            assert given.exports is not None
            arguments += ["-blockdev", _json(export_node(disk, given.exports))]
        arguments += ["-blockdev", _json(overlay_node(disk, overlay, base))]
        arguments += ["-device", _json(device)]
    return arguments
