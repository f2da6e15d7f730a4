"""A server on a host that never saw its images: their chunks are in a store that is far."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.far_store import FarStore, far_store
from bench.live_server import LiveServer, room_for_machines, serving, until
from bench.wire import Wire
from openami.nbd.client import Daemon

WHOLE_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdHost:
    server: LiveServer
    store: FarStore

    @property
    def wire(self) -> Wire:
        return self.store.wire

    @property
    def cache(self) -> Path:
        return self.server.state_dir / "cache"

    def await_whole(self) -> None:
        """Until no machine reads from the block daemon any more: their disks are files here."""
        exports = self.server.state_dir / "blocks" / "exports"
        until(lambda: not any(exports.glob("*.json")), "disks are here", WHOLE_TIMEOUT_S)

    def daemon_pid(self) -> int:
        return json.loads((self.server.state_dir / "blocks" / "daemon.json").read_text())["pid"]

    def empty_cache(self) -> None:
        """Have no disk. No machine runs."""
        for file in self.cache.iterdir():
            file.unlink()

    def forget(self) -> None:
        """Be a host again that never saw an image. No machine runs.

        What it knows of an image's first reads it keeps: that is with the image.
        """
        self.server.openami("block-daemon", "--stop")  # which remembers manifests
        self.empty_cache()
        until(Daemon(self.server.state_dir / "blocks").is_there, "the block daemon is back")


@contextmanager
def cold_host(**settings: str) -> Generator[ColdHost]:
    with room_for_machines() as directory, far_store(directory / "s3") as store:
        given = {"block_daemon": "on", "memory_overcommit": "4", **store.settings, **settings}
        with serving(directory / "state", **given) as server:
            yield ColdHost(server=server, store=store)
