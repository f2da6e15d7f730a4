"""P13: how long a guest that writes is held up by snapshots of its disk."""

import statistics
import time
from pathlib import Path
from typing import Final

from bench import peers
from bench.live_server import DEADLINE_S, LiveServer, room_for_machines, serving, text_at
from bench.measure import Line

GATE_MS, AMBITION_MS = 20.0, 5.0
SNAPSHOTS_PER_ROUND: Final = 10
_HALF_TICKS: Final = 1 << 31
_TURNS: Final = 4
_TOLD_BYTES: Final = 4
# A guest in a boot sector. It writes a sector to one of 64 blocks after the other, by its BIOS,
# without end, and tells the console each gap between two writes of more than 2**18 ticks of its
# clock: "g" and the ticks, 4 bytes. "t" is half a turn of the clock, "!" a write that failed.
#
#   start:  xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7c00
#           mov dx,0x3f8; mov al,'G'; out dx,al; rdtsc; mov [last],eax; mov [half],eax
#   again:  inc word [0x8000]; movzx eax,word [0x8000]; and al,63; movzx eax,al; inc ax
#           shl eax,10; mov [lba],eax
#           mov ax,0x4300; mov dl,0x80; mov si,packet; int 0x13; jc failed    (BIOS: write)
#           rdtsc; mov ebx,eax; sub eax,[last]; mov [last],ebx
#           mov dx,0x3f8; cmp eax,1<<18; jb short_
#           push eax; mov al,'g'; out dx,al; pop eax; mov cx,4
#   byte_:  out dx,al; shr eax,8; loop byte_
#   short_: mov eax,ebx; xor eax,[half]; jns again
#           mov [half],ebx; mov al,'t'; out dx,al; jmp again
#   failed: mov dx,0x3f8; mov al,'!'; out dx,al; hlt; jmp failed
#   packet: db 16,0; dw 1,0x8000,0; lba: dq 0; last: dd 0; half: dd 0
_GUEST: Final = bytes.fromhex(
    "31c08ed88ed0bc007cbaf803b047ee0f3166a3967c66a39a7cff060080660fb7060080243f660fb6c04066c1e0"
    "0a66a38e7cb80043b280be867ccd13723f0f316689c3662b06967c66891e967cbaf803663d0000040072116650"
    "b067ee6658b90400ee66c1e808e2f96689d86633069a7c79a666891e9a7cb074eeeb9cbaf803b021eef4ebf710"
    "0001000080"
)


def bench(_scratch: Path, count: int) -> list[Line]:
    peers.install("qemu-img")
    with (
        room_for_machines() as directory,
        serving(directory / "state", _disk(directory)) as server,
    ):
        instance_id = server.launch()
        gaps = Gaps(server.state_dir / "instances" / instance_id / "console.log")
        volume_id = text_at(server.call(Action="DescribeVolumes"), "volumeId")
        with_ms: list[float] = []
        without_ms: list[float] = []
        gaps.longest_ms()
        for number in range(count * SNAPSHOTS_PER_ROUND):
            took_s = _snapshot(server, volume_id)
            with_ms.append(gaps.longest_ms())
            time.sleep(took_s)
            without_ms.append(gaps.longest_ms())
            print(
                f"  snapshot {number}: {with_ms[-1]:.2f} ms, {without_ms[-1]:.2f} ms without",
                flush=True,
            )
        server.terminate(instance_id)
    return [_line(with_ms, without_ms)]


def _line(with_ms: list[float], without_ms: list[float]) -> Line:
    usual, worst = statistics.median(with_ms), max(with_ms)
    calm = f"{statistics.median(without_ms):.1f} ms, at worst {max(without_ms):.1f}"
    return Line(
        id="P13",
        what="a guest's longest pause in a snapshot",
        ours=f"{usual:.1f} ms, at worst {worst:.1f}",
        peer_name="the limit",
        peer=f"{GATE_MS:.0f} ms (as long without a snapshot: {calm})",
        ratio=GATE_MS / usual,
        worst=GATE_MS / worst,
        best=GATE_MS / min(with_ms),
        gate=1,
        ambition=GATE_MS / AMBITION_MS,
        note=f"{len(with_ms)} snapshots; longest gap between two writes, by the guest's own clock",
    )


class Gaps:
    """What the guest tells on its console, read as it grows."""

    def __init__(self, console: Path) -> None:
        self._console, self._read, self._rest = console, 0, b""
        self._begun, self._turns, self._longest = False, 0, 0
        began_s = [self._next_turn_s() for _ in range(_TURNS + 2)][1:]  # the first was under way
        self._tick_ms = 1000 * (began_s[-1] - began_s[0]) / _TURNS / _HALF_TICKS

    def longest_ms(self) -> float:
        """The longest gap since the last call."""
        self._hear()
        found, self._longest = self._longest, 0
        return found * self._tick_ms

    def _next_turn_s(self) -> float:
        """When the guest's clock turned next. Raises RuntimeError."""
        turns, deadline = self._turns, time.monotonic() + DEADLINE_S
        while self._turns == turns:
            if time.monotonic() > deadline:
                raise RuntimeError("the guest does not write")
            time.sleep(0.0005)
            self._hear()
        return time.monotonic()

    def _hear(self) -> None:
        with self._console.open("rb") as file:
            file.seek(self._read)
            told = file.read()
        self._read += len(told)
        told = self._rest + told
        if not self._begun:
            _, mark, told = told.partition(b"G")
            self._begun = bool(mark)
        self._rest = told[self._heeded(told) :]

    def _heeded(self, told: bytes) -> int:
        """How much of it is whole: a gap may be told in part."""
        at = 0
        while at < len(told):
            sign = told[at : at + 1]
            if sign == b"g" and at + _TOLD_BYTES >= len(told):
                break
            if sign == b"g":
                ticks = int.from_bytes(told[at + 1 : at + 1 + _TOLD_BYTES], "little")
                self._longest = max(self._longest, ticks)
                at += _TOLD_BYTES
            elif sign == b"t":
                self._turns += 1
            else:
                raise RuntimeError(f"the guest says {told[at : at + 20]!r}")
            at += 1
        return at


def _snapshot(server: LiveServer, volume_id: str) -> float:
    """The seconds from the call until it is completed."""
    began = time.monotonic()
    answer = server.call(Action="CreateSnapshot", VolumeId=volume_id)
    snapshot_id = text_at(answer, "snapshotId")
    question = {"Action": "DescribeSnapshots", "SnapshotId.1": snapshot_id}
    while (status := text_at(server.call(**question), "status")) != "completed":
        if status != "pending" or time.monotonic() > began + DEADLINE_S:
            raise RuntimeError(f"{snapshot_id} is {status}")
        time.sleep(0.01)
    return time.monotonic() - began


def _disk(directory: Path) -> Path:
    disk = directory / "disk.raw"
    with disk.open("wb") as file:
        file.write(_GUEST.ljust(510, b"\0") + b"\x55\xaa")
        file.truncate(64 << 20)
    return disk
