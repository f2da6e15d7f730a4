"""Machines for tests of compute drivers: builders, a network that is only a tap, tiny disks."""

import ctypes
import os
import shutil
import struct
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from openami.compute.driver import Disk, DiskCopy, Firmware, Machine, Port
from openami.compute.network import namespace
from openami.diskimage.qcow2 import create_overlay
from openami.domain.ids import InstanceId, VolumeId
from support.net import a_port, an_id

MIB = 1 << 20
_CLONE_NEWNET = 0x40000000

# xor ax,ax; mov ds,ax; mov si,0x7c20; mov dx,0x3f8; then each byte to COM1 until a zero.
_PRINTER = bytes.fromhex("31c08ed8be207cbaf803ac84c07403eeebf8")
_HALT = bytes.fromhex("f4ebfd")
_REBOOT = bytes.fromhex("b0fee664f4ebfd")  # the keyboard controller's reset line
_FOR_EVER = bytes.fromhex("be207cebee")  # mov si,0x7c20; back to the printing


def a_boot_sector(text: bytes = b"hello\r\n", then: bytes = _HALT) -> bytes:
    """A guest in 512 bytes: it prints `text` to the serial console, and halts."""
    code = (_PRINTER + then).ljust(0x20, b"\0")
    assert len(code) == 0x20
    return (code + text + b"\0").ljust(510, b"\0") + b"\x55\xaa"


def a_rebooting_sector() -> bytes:
    return a_boot_sector(b"again\r\n", then=_REBOOT)


def a_chattering_sector() -> bytes:
    return a_boot_sector(b"blah " * 80 + b"\r\n", then=_FOR_EVER)


def a_base(directory: Path, content: bytes, size_bytes: int = 4 * MIB) -> Path:
    path = directory / f"base-{os.urandom(4).hex()}.raw"
    with path.open("wb") as file:
        file.write(content)
        file.truncate(size_bytes)
    return path


def a_disk(directory: Path, base: Path | None = None, device: str = "/dev/sdf", **changes) -> Disk:
    """A volume's overlay, as large as its base or 4 MiB."""
    volume_id = VolumeId(an_id("vol"))
    overlay = directory / f"{volume_id}.qcow2"
    create_overlay(overlay, changes.pop("size_bytes", None) or _size(base), base)
    given = {
        "device_name": device,
        "serial": volume_id.replace("-", ""),
        "overlay": overlay,
        "base": base,
        "volume_id": volume_id,
    }
    return Disk(**(given | changes))


def _size(base: Path | None) -> int:
    return 4 * MIB if base is None else base.stat().st_size


_numbers = iter(range(os.getpid() % 10_000 * 100, 1 << 30))


def no_limit(_bytes: int) -> None:
    """For copies that take the room that they find."""


def copies_to(targets: Mapping[VolumeId | None, Path]) -> Mapping[VolumeId, DiskCopy]:
    return {volume_id: DiskCopy(target=path) for volume_id, path in targets.items() if volume_id}


def a_machine(*disks: Disk, **changes: object) -> Machine:
    port = changes.pop("port", None) or a_port(an_id("vpc"), next(_numbers))
    assert isinstance(port, Port)
    given = {
        "instance_id": port.instance_id,
        "instance_type": "t3.micro",
        "vcpus": 1,
        "memory_mib": 128,
        "firmware": Firmware.BIOS,
        "disks": disks,
        "port": port,
    }
    return Machine(**(given | changes))  # type: ignore[arg-type]


@contextmanager
def a_directory() -> Iterator[Path]:
    """Deeper than a socket's name may be long, and closed to all but root."""
    root = Path(mkdtemp(prefix="openami-machines-"))
    deep = root / ("deep-" * 12) / ("deeper-" * 10)
    deep.mkdir(parents=True)
    try:
        yield deep
    finally:
        shutil.rmtree(root)


class TapNetwork:
    """A Network whose ports are taps in a namespace that nobody else has: nothing answers."""

    def __init__(self) -> None:
        self.plugged: dict[InstanceId, Port] = {}
        self.answering: set[InstanceId] = set()
        self.restarts: list[InstanceId] = []
        self.updates: list[Port] = []
        self.closed = False

    def plug(self, port: Port) -> int:
        self.plugged[port.instance_id] = port
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(_a_tap).result()

    def serve(self, port: Port) -> None:
        assert port.instance_id in self.plugged

    def adopt(self, port: Port) -> None:
        self.plugged[port.instance_id] = port

    def update(self, port: Port) -> None:
        self.updates.append(port)

    def unplug(self, instance_id: InstanceId) -> None:
        self.plugged.pop(instance_id, None)
        self.answering.discard(instance_id)

    def clear(self, port: Port) -> None:
        self.unplug(port.instance_id)

    def reachable(self, instance_id: InstanceId) -> bool:
        return instance_id in self.answering

    def restarted(self, instance_id: InstanceId) -> None:
        self.restarts.append(instance_id)

    def close(self) -> None:
        self.closed = True


def _a_tap() -> int:
    assert ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) == 0
    return namespace.open_tap("guest")


class Heard:
    """What a driver called back."""

    def __init__(self) -> None:
        self.exits: list[tuple[InstanceId, str]] = []
        self.resets: list[InstanceId] = []
        self.threads: set[str] = set()

    def on_exit(self, instance_id: InstanceId, reason: str) -> None:
        self.threads.add(threading.current_thread().name)
        self.exits.append((instance_id, reason))

    def on_reset(self, instance_id: InstanceId) -> None:
        self.threads.add(threading.current_thread().name)
        self.resets.append(instance_id)


def ports_of(*machines: Machine) -> Mapping[InstanceId, Port]:
    return {one.instance_id: one.port for one in machines}


def qcow2_backing_name_bytes(path: Path) -> int:
    with path.open("rb") as file:
        return struct.unpack_from(">I", file.read(32), 16)[0]


def a_counting_sector() -> bytes:
    """A guest that writes a growing number to one disk, then to the other, for ever.

    The number is a sector's first four bytes; number n goes to sector 1024 * (n % 8 + 1), so
    to another 512 KiB block each time. A dot on the console is a round; "!" is an error.

        again:  inc dword [0x8000]; mov ax,[0x8000]; and ax,7; inc ax; shl ax,10; mov [lba],ax
                mov dl,0x80; call store; mov dl,0x81; call store
                mov dx,0x3f8; mov al,'.'; out dx,al; jmp again
        store:  mov ax,0x4300; mov si,packet; int 0x13; jc failed; ret      (BIOS: write)
        failed: mov dx,0x3f8; mov al,'!'; out dx,al; hlt; jmp failed
        packet: db 16,0; dw 1,0x8000,0; lba: dq 0
    """
    return (
        bytes.fromhex(
            "31c08ed88ec08ed0bc007c66ff060080a1008083e00740c1e00aa34b7cb280e80d00b281e80800baf803b02e"
            "eeebdcb80043be437ccd137201c3baf803b021eef4ebf710000100008000000000000000000000"
        ).ljust(510, b"\0")
        + b"\x55\xaa"
    )


def the_newest_number(blocks: Mapping[int, bytes]) -> int:
    """What a counting guest wrote last to a disk. Fails if an older number should be newer."""
    written = {index: struct.unpack_from("<I", block)[0] for index, block in blocks.items()}
    newest = max(written.values())
    for number in range(max(1, newest - 7), newest + 1):
        assert written[number % 8 + 1] == number, f"{number} is missing in {written}"
    return newest
