"""What a server asks of its host's block daemon, and the answers, over the control socket.

A question and its answer are one JSON object in a line each, one pair per connection. All
questions may be repeated: whoever got no answer asks again.
"""

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

from openami.domain.ids import Region
from openami.domain.manifest import Root

TIMEOUT_S: Final = 10.0
LINE_BYTES_MAX: Final = 16 * 1024 * 1024
CONTROL: Final = "control.sock"
_AGAIN_S: Final = 0.05


class DaemonAway(Exception):
    """No block daemon answered in time. It may have done what it was asked: ask again."""


class ExportRefused(Exception):
    """The daemon will not do it, now or later; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A disk that is offered to one machine: who may open `path`, a socket, is the uid alone."""

    region: Region
    root: Root
    uid: int
    path: Path

    def to_json(self) -> dict[str, Any]:
        return {
            "region": self.region,
            "root": self.root.to_text(),
            "uid": self.uid,
            "path": str(self.path),
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError for what `to_json` did not make."""
        return cls(
            region=Region(str(told["region"])),
            root=Root.from_text(str(told["root"])),
            uid=int(told["uid"]),
            path=Path(told["path"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hydration:
    """How much of a disk is on this host."""

    blocks_here: int
    """Blocks of which a read needs no store: kept and verified, or known to be holes."""
    blocks: int
    complete: bool
    """Whether `path` is the base: whole, durable, and no longer in need of the daemon."""
    path: Path
    """Where BaseCache has the base, or will have it."""
    trouble: str
    """Why it does not go on, for the operator; empty while it does."""


class BlockDaemon(Protocol):
    """Every method raises DaemonAway if nobody answers within the deadline."""

    def open_export(
        self, export_id: str, region: Region, root: Root, uid: int, profile: Sequence[int] = ()
    ) -> Path:
        """The socket on which the disk `root` is read by the user `uid`, from now on and through
        restarts of the daemon; its hydration begins. Takes no longer for a larger disk.

        Where the host has no profile of the disk (nbd/profile.py), `profile` is the one.
        An export that is there already is the same, for the user named last. Raises
        ExportRefused if it is there of another disk, or no disk of that region can be read.
        """
        ...

    def close_export(self, export_id: str) -> None:
        """Take the socket away and end its connections. One that is not there is fine."""
        ...

    def exports(self) -> Mapping[str, Export]: ...

    def hydration(self, region: Region, root: Root) -> Hydration:
        """How far the disk is. One that no export offers does not get further."""
        ...

    def profile(self, root: Root) -> Sequence[int]:
        """The blocks that were read first, in that order, as far as that is known."""
        ...


class Daemon:
    """The daemon whose state directory is `directory`. Thread-safe: a connection per question."""

    def __init__(self, directory: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._directory, self._timeout_s = directory, timeout_s

    def open_export(
        self, export_id: str, region: Region, root: Root, uid: int, profile: Sequence[int] = ()
    ) -> Path:
        told = self._ask(
            {"verb": "open", "export": export_id, "uid": uid}
            | {"region": region, "root": root.to_text(), "profile": list(profile)}
        )
        return Path(told["path"])

    def close_export(self, export_id: str) -> None:
        self._ask({"verb": "close", "export": export_id})

    def exports(self) -> Mapping[str, Export]:
        told = self._ask({"verb": "exports"})
        return {name: Export.from_json(export) for name, export in told["exports"].items()}

    def hydration(self, region: Region, root: Root) -> Hydration:
        told = self._ask({"verb": "hydration", "region": region, "root": root.to_text()})
        return Hydration(
            blocks_here=told["blocks_here"],
            blocks=told["blocks"],
            complete=told["complete"],
            path=Path(told["path"]),
            trouble=told["trouble"],
        )

    def profile(self, root: Root) -> Sequence[int]:
        return self._ask({"verb": "profile", "root": root.to_text()})["blocks"]

    def is_there(self) -> bool:
        """Whether it answers at once."""
        try:
            self._once({"verb": "exports"}, time.monotonic() + self._timeout_s)
        except (OSError, ValueError):
            return False
        return True

    def _ask(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Asked again while nobody listens: a daemon that restarts is back in a moment."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                answer = self._once(question, deadline)
                break
            except (OSError, ValueError) as failed:
                if time.monotonic() + _AGAIN_S >= deadline:
                    raise DaemonAway(f"no block daemon at {self._directory}: {failed}") from failed
            time.sleep(_AGAIN_S)
        if "refused" in answer:
            raise ExportRefused(str(answer["refused"]))
        return answer

    def _once(self, question: Mapping[str, Any], deadline: float) -> Mapping[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(max(deadline - time.monotonic(), _AGAIN_S))
            # By way of a descriptor: the name fits however deep the directory is (unix(7)).
            home = os.open(self._directory, os.O_PATH | os.O_CLOEXEC)
            try:
                connection.connect(f"/proc/self/fd/{home}/{CONTROL}")
            finally:
                os.close(home)
            with connection.makefile("rwb") as stream:
                stream.write(json.dumps(question).encode() + b"\n")
                stream.flush()
                return json.loads(stream.readline(LINE_BYTES_MAX))
