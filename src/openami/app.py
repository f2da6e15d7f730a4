"""The composition root: builds everything once."""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

from openami.actions import instances, metadata
from openami.actions.lifecycle import runs as lifecycle_runs
from openami.blockstore.awaited import Arrival
from openami.blockstore.cache import BaseCache
from openami.blockstore.guarded import GuardedStore
from openami.blockstore.store import StoreAway
from openami.blockstore.volumes import VolumeHost
from openami.catalog import migrate
from openami.catalog.catalog import Catalog
from openami.compute.driver import ComputeDriver, MachineFailed
from openami.compute.network.host import HostNetwork
from openami.compute.qemu.driver import QemuDriver
from openami.compute.record.driver import RecordDriver
from openami.domain.errors import EC2Error
from openami.domain.ids import InstanceId, Region
from openami.domain.metadata import Metadata
from openami.imds.service import MetadataService
from openami.jobs.durable import DurableEngine
from openami.jobs.lanes import COPIES, IMAGES, MOMENTS, SNAPSHOTS, TRANSFERS
from openami.jobs.locks import KeyedLocks
from openami.jobs.running import Patience
from openami.nbd.client import DaemonAway
from openami.nbd.keeper import Keeper
from openami.objects import choice
from openami.real import RealClock, RealIds
from openami.server import asgi
from openami.services import Services
from openami.settings import Settings
from openami.workflows import cold_disks, collect, region_stores, registry, tenure
from openami.workflows.collect import Ledger

SWEEP_EVERY_S: Final = 60.0
MOMENTS_AT_ONCE: Final = 32
ENDING_S: Final = 10.0
_log = logging.getLogger(__name__)


class StateDirectoryBusy(Exception):
    """Another process serves this state directory."""


class App:
    """Everything that runs, from `open` to `close`. One per state directory at a time.

    Closing stops serving and nothing else: machines go on, and the next App adopts them.
    """

    def __init__(self, settings: Settings) -> None:
        os.umask(0o077)  # disks, consoles, jobs: nothing we write is for the host's other users
        self._lock = _locked(settings.state_dir / "lock")
        self._closing = threading.Event()
        self._metadata = MetadataService(self._metadata_of, RealClock(), RealIds())
        catalog = Catalog.open(settings.state_dir / "catalog.sqlite")
        migrate.upgrade(catalog)
        arrivals = {
            region: Arrival(partial(self._arrived, region))
            for region in region_stores.may_be_away(settings, catalog)
        }
        own = region_stores.ready(settings, catalog, RealIds(), arrivals)
        stores = {
            region: GuardedStore(store, Ledger(catalog, region)) for region, store in own.items()
        }
        cache = BaseCache(settings.state_dir / "cache")
        self._blocks = Keeper(settings, region_stores.places(settings, catalog))
        starts_cold = self._blocks.is_wanted
        clock = RealClock(settings.clock_ahead_s)
        self.services = Services(
            settings=settings,
            catalog=catalog,
            stores=stores,
            claims=region_stores.claims(settings, catalog, RealIds()),
            archives={region: store.archive for region, store in own.items()},
            arrivals=arrivals,
            volumes=VolumeHost(
                settings.state_dir / "volumes", cache, stores, over_absent_bases=starts_cold
            ),
            compute=self._driver(settings),
            objects=choice.chosen(settings, RealClock(), RealIds()),
            jobs=_jobs(settings),
            locks=KeyedLocks(),
            clock=clock,
            serving_since=clock.now(),
            ids=RealIds(),
            blocks=self._blocks.client if starts_cold else None,
        )
        for job in registry.jobs(self.services):
            self.services.jobs.register(job)
        self._sweeper = threading.Thread(target=self._sweep, name="sweep", daemon=True)
        self._tender = threading.Thread(target=self._tend, name="tend", daemon=True)
        self._collectors = [
            threading.Thread(
                target=self._collect, args=(region,), name=f"collect {region}", daemon=True
            )
            for region in stores
        ]

    def start(self) -> None:
        """Take up the machines that run, then the work that was unfinished, then sweep."""
        svc = self.services
        self._begin_serving_disks()
        svc.compute.watch(
            on_exit=lambda instance_id, reason: instances.machine_ended(svc, instance_id, reason),
            on_reset=lambda instance_id: instances.machine_reset(svc, instance_id),
        )
        instances.adopt(svc)
        for region in svc.stores:
            self._begin_tenure(region)
        svc.jobs.launch()
        self._sweep_once()
        self._sweeper.start()
        self._tender.start()
        for collector in self._collectors:
            collector.start()

    def close(self) -> None:
        """Let running steps end, let go of machines and sockets, free the state directory."""
        self._closing.set()
        if self._sweeper.is_alive():
            self._sweeper.join()
        # They may be waiting for a daemon that does not start, or for a store that hangs.
        _join([self._tender, *self._collectors], ENDING_S)
        self.services.jobs.close()
        self.services.objects.close()
        if self.services.jobs.active() or any(each.is_alive() for each in self._collectors):
            # A step that waits for a guest cannot be called back. It goes on from here at the
            # next start; what it holds is let go by the end of the process.
            return
        self._end_serving_disks()
        self.services.compute.close()
        self._metadata.close()
        self.services.catalog.close()
        os.close(self._lock)

    def _begin_tenure(self, region: Region) -> None:
        arrival = self.services.arrivals.get(region)
        if arrival is None:
            tenure.begin(self.services, region)
            return
        try:
            arrival.require()
        except StoreAway as away:
            _log.warning("what needs the store of %s waits for it: %s", region, away)

    def _arrived(self, region: Region) -> None:
        """Do with a store what a start does with one that is there."""
        region_stores.take(self.services.settings, self.services.catalog, RealIds(), region)
        tenure.begin(self.services, region)
        _log.info("the store of %s is here", region)

    def _driver(self, settings: Settings) -> ComputeDriver:
        directory = settings.state_dir / "instances"
        makers: dict[str, Callable[[], ComputeDriver]] = {
            "record": lambda: RecordDriver(directory),
            "qemu": lambda: QemuDriver(
                directory,
                HostNetwork(settings, self._metadata.serve),
                settings,
                exports=self._blocks.sockets,
            ),
        }
        return makers[settings.compute_driver]()

    def _metadata_of(self, instance_id: InstanceId) -> Metadata | None:
        return metadata.metadata_of(self.services, instance_id)

    def _sweep_once(self) -> None:
        """One row that cannot be dealt with keeps neither the server from starting nor the other
        parts from their work."""
        for part in (registry.sweep, instances.purge, lifecycle_runs.sweep):
            try:
                part(self.services)
            except Exception:  # noqa: BLE001, told below; the sweep outlives it
                _log.exception("a sweep failed; the next one is in %s s", SWEEP_EVERY_S)

    def _sweep(self) -> None:
        while not self._closing.wait(SWEEP_EVERY_S):
            self._sweep_once()

    def _collect(self, region: Region) -> None:
        while True:
            try:
                collect.resume(self.services, region)
            except Exception:  # noqa: BLE001, as above
                _log.exception("the store of %s was not looked at", region)
            if self._closing.wait(SWEEP_EVERY_S):
                return

    def _begin_serving_disks(self) -> None:
        """Before any machine starts: it is told then where the block daemon is."""
        try:
            self._blocks.ensure()
        except DaemonAway as away:
            _log.error("disks are restored before they are used: %s", away)

    def _tend(self) -> None:
        while self._blocks.is_needed() and not self._closing.wait(cold_disks.TEND_EVERY_S):
            self._tend_once()
        if not self._blocks.is_needed():
            self._blocks.release()

    def _tend_once(self) -> None:
        try:
            self._blocks.ensure()
            cold_disks.tend(self.services, self._blocks.client)
        except DaemonAway as away:
            _log.warning("%s", away)
        except Exception:  # noqa: BLE001, as above
            _log.exception("what machines read from the block daemon was not looked after")

    def _end_serving_disks(self) -> None:
        """Unless machines still read from the block daemon, it ends with us."""
        if self._tender.is_alive():
            return  # it waits for a daemon that does not answer, or starts one
        if self._blocks.is_read_from():
            self._tend_once()  # what a machine read that ended in the last second
        self._blocks.release()


def _jobs(settings: Settings) -> DurableEngine:
    return DurableEngine(
        settings.state_dir / "jobs.sqlite",
        clock=RealClock(),
        patience=Patience(
            final=(EC2Error, MachineFailed), away=(StoreAway,), away_s=settings.store_patience_s
        ),
        # Half of the request threads stay free for those who do not wait.
        waiters_max=asgi.THREADS // 2,
        lanes={
            MOMENTS: MOMENTS_AT_ONCE,
            IMAGES: MOMENTS_AT_ONCE,
            TRANSFERS: settings.transfers_max,
            SNAPSHOTS: settings.snapshots_at_once,
            COPIES: settings.copies_at_once,
        },
    )


def _join(threads: Iterable[threading.Thread], at_most_s: float) -> None:
    """Those that were started, one after the other, or until the time is over."""
    deadline = time.monotonic() + at_most_s
    for thread in threads:
        if thread.is_alive():
            thread.join(max(0.0, deadline - time.monotonic()))


def _locked(file: Path) -> int:
    """Hold the state directory until the descriptor is closed or the process ends."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StateDirectoryBusy(f"another openami serves {file.parent}") from None
    return descriptor
