"""Which disks keep a machine from running, as those are told who look at it.

A machine that meets an error of a disk is paused, and resumed every few seconds to try again: what
it does from one moment to the next tells little. So it counts as stalled until it has run for a
while without an error.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from openami.compute.qemu.command_line import node_name
from openami.domain.ids import VolumeId

QUIET_S: Final = 15.0
"""Longer than a read waits for a block daemon that is away, and than we wait to resume it."""
_REASON_CHARACTERS: Final = 200


class Stalls:
    """Noted in `file` for other processes: a line for each disk, as far as there is room for it.

    The host's disk may be the one that is full, so that the file is there is all that counts.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._reasons: dict[str, str] = {}
        self._met_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._reasons)

    @property
    def volumes(self) -> frozenset[VolumeId]:
        """Those that are known: of a machine that was found paused, the next error tells them."""
        return frozenset(VolumeId(each) for each in self._reasons if each)

    def begin(self, *, is_paused: bool) -> None:
        """We have found the machine so, or met errors since: what is noted is another server's."""
        if is_paused and not self._reasons:
            self._reasons = {"": "found paused"}
        self._met_at = time.monotonic()
        self._note()

    def met(self, node: str, reason: str) -> None:
        """An error of a block node has paused the machine."""
        self._met_at = time.monotonic()
        found = {_volume_of(node): " ".join(reason.split())[:_REASON_CHARACTERS]}
        known = {volume: why for volume, why in self._reasons.items() if volume}
        if known | found != self._reasons:
            self._reasons = known | found
            self._note()

    def forget(self, volume_id: VolumeId) -> None:
        """The machine has this disk no more."""
        if self._reasons.pop(volume_id, None) is not None:
            self._note()

    def tend(self, *, is_paused: bool) -> None:
        """Called every second."""
        if self._reasons and not is_paused and time.monotonic() >= self._met_at + QUIET_S:
            self._reasons = {}
            self._note()

    def _note(self) -> None:
        with suppress(OSError):
            if self._reasons:
                self._file.touch()
                self._file.write_text(
                    "".join(
                        f"{volume} {why}".strip() + "\n" for volume, why in self._reasons.items()
                    )
                )
            else:
                self._file.unlink(missing_ok=True)


def _volume_of(node: str) -> str:
    """Which volume's disk it is, by its serial number; empty for another node."""
    prefix = node_name("vol")
    return f"vol-{node.removeprefix(prefix)}" if node.startswith(prefix) else ""
