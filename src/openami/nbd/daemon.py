"""The block daemon of one state directory: everything put together, from start to signal."""

import fcntl
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from openami.blockstore import regional
from openami.blockstore.cache import BaseCache
from openami.blockstore.manifest import Manifests
from openami.blockstore.regional import Place
from openami.blockstore.store import ChunkStore
from openami.domain.ids import Region
from openami.nbd import control
from openami.nbd.control import Control
from openami.nbd.demand import Demand
from openami.nbd.disk import Source
from openami.nbd.exports import Exports
from openami.nbd.hydration import Hydration, Rate
from openami.nbd.profile import ProfileFiles

CHECKPOINT_EVERY_S: Final = 15.0
LATE_EVERY_S: Final = 1.0
SWITCH_S: Final = 0.0005
"""Who reads what is here waits no longer for a thread that is at work on what comes (Python's own
5 ms are a hundred such reads): `make bench P17`."""
MIB: Final = 1024 * 1024
_log = logging.getLogger(__name__)


class AnotherServes(Exception):
    """There is a block daemon of this state directory already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What a daemon needs to know of its host: it reads no settings and no environment."""

    directory: Path
    """`<state_dir>/blocks`: its sockets and what it offers."""
    cache: Path
    """Where bases are."""
    hydrate_mib_per_s: float


def opened(places: Mapping[Region, Place]) -> Mapping[Region, ChunkStore]:
    """The stores of the regions, with their archives."""
    return {region: regional.opened(place) for region, place in places.items()}


class BlockDaemon:
    """Serves from `start` until `close`, and the same again after the next `start`."""

    def __init__(self, host: Host, stores: Mapping[Region, ChunkStore]) -> None:
        """Raises AnotherServes."""
        host.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._host = host
        self._lock = _locked(host.directory / "lock")
        self._sources = {
            region: Source(store=store, manifests=Manifests(store), demand=Demand())
            for region, store in stores.items()
        }
        self._hydrations: list[Hydration] = []
        cache = BaseCache(host.cache)
        self.exports = Exports(
            host.directory,
            cache,
            self._sources,
            ProfileFiles(host.directory / "profiles"),
        )
        self.control = Control(self.exports, cache)
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="checkpoint", daemon=True)

    def start(self) -> None:
        """Offer what was offered before, and begin to bring it here."""
        self.exports.restore()
        rate = Rate(self._host.hydrate_mib_per_s * MIB)
        for region, source in self._sources.items():
            disks = partial(self.exports.disks, region)
            self._hydrations.append(Hydration(disks, source.demand, rate))
        self._keeper.start()

    def close(self) -> None:
        """Checkpoint what is here and let go; what was offered stays written down."""
        self._closing.set()
        for hydration in self._hydrations:
            hydration.close()
        for source in self._sources.values():
            source.demand.close()
        self._keeper.join()
        self.exports.shut()
        os.close(self._lock)

    def _keep(self) -> None:
        checkpointed = time.monotonic()
        while not self._closing.wait(LATE_EVERY_S):
            try:
                self.exports.offer_late()
            except Exception:  # noqa: BLE001, the keeper must outlive whatever an export meets
                _log.exception("what is late stays late")
            if time.monotonic() - checkpointed >= CHECKPOINT_EVERY_S:
                self._checkpoint()
                checkpointed = time.monotonic()

    def _checkpoint(self) -> None:
        for disk in self.exports.disks():
            if not disk.enter():
                continue
            try:
                disk.checkpoint()
            except Exception:  # noqa: BLE001, as above, whatever a disk meets
                _log.exception("no checkpoint of %s", disk.root.to_text())
            finally:
                disk.leave()


def run(
    host: Host,
    stores: Mapping[Region, ChunkStore],
    alone: Callable[[], None],
    ready: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT. `alone` is called when nobody else can serve this directory
    any more, `ready` when questions are answered. Raises AnotherServes.
    """
    told = threading.Event()

    def tell(_number: int, _frame: object) -> None:
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    sys.setswitchinterval(SWITCH_S)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a few for each machine there is
    daemon = BlockDaemon(host, stores)
    alone()
    daemon.start()
    try:
        with control.listening(daemon.control, host.directory):
            ready()
            _log.info("the block daemon serves from %s", host.directory)
            told.wait()
    finally:
        daemon.close()
        _log.info("the block daemon has ended")


def _locked(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AnotherServes(f"a block daemon serves {file.parent} already") from None
    return descriptor
