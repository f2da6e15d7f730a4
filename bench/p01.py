"""P1: RunInstances of an image of 40 GiB of data on a cold host, beside one of 1 GiB."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.asked import cpu_s, resident_mib
from bench.cold_host import ColdHost, cold_host
from bench.measure import Line, Sample, beside, cores_in_use, rounds
from openami.app import RealClock
from openami.blockstore import codec
from openami.blockstore.manifest import Manifests
from openami.blockstore.regional import RegionStore, store_at
from openami.catalog import accounts, images, snapshots
from openami.catalog.catalog import Catalog
from openami.domain.block import BLOCK_BYTES, Digest
from openami.domain.block_device import BlockDeviceMapping, EbsDevice
from openami.domain.ids import AccountId, ImageId, Region, SnapshotId
from openami.domain.image import Image, ImageState
from openami.domain.manifest import Root
from openami.domain.snapshot import NO_VOLUME, Snapshot, SnapshotState

LARGE_GIB, SMALL_GIB = 40, 1
GATE, AMBITION = 1 / 1.15, 1 / 1.03
ROUNDS_MIN: Final = 9
BLOCKS_PER_GIB: Final = (1 << 30) // BLOCK_BYTES
RANDOM_BYTES: Final = 128 << 10  # of each block: it is stored at a quarter of its size
ROOT_DEVICE: Final = "/dev/xvda"


def bench(_scratch: Path, count: int) -> list[Line]:
    with cold_host(collect_every_s="0") as host:
        bench = _Images(host)
        sizes = {_name(gib): gib for gib in (LARGE_GIB, SMALL_GIB)}
        for gib in sizes.values():  # the VPC, the models
            bench.launched(gib, "first")
        samples = rounds(
            {name: lambda at, gib=gib: bench.launched(gib, at) for name, gib in sizes.items()},
            max(count, ROUNDS_MIN),
            patient=False,
        )
    return [
        beside(
            samples,
            *sizes,
            id="P1",
            what=f"RunInstances on a cold host, {LARGE_GIB} GiB of data",
            gate=GATE,
            ambition=AMBITION,
            note=NOTE,
        )
    ]


def _name(gib: int) -> str:
    return f"{gib} GiB of data"


class _Images:
    """Images that the host never saw: of each the order of the chunks, so every page, is new."""

    def __init__(self, host: ColdHost) -> None:
        self._host = host
        self._store = store_at(host.store.place)
        print("  storing a GiB of chunks", flush=True)
        self._digests = _stored(self._store)

    def launched(self, gib: int, name: str) -> Sample:
        host, server = self._host, replace(self._host.server, image_id=self._made(gib, name))
        request = server.signed(server.run_instances)
        daemon_pid, others = host.daemon_pid(), cores_in_use()
        used_s = cpu_s(server.pid) + cpu_s(daemon_pid)
        began = time.perf_counter()
        answer = server.send(request)
        wall_s = time.perf_counter() - began
        used_s = cpu_s(server.pid) + cpu_s(daemon_pid) - used_s
        peak_mib = resident_mib(server.pid) + resident_mib(daemon_pid)
        instance_id = server.instance_id(answer)
        state = server.state(instance_id)
        if state != "running":
            raise RuntimeError(f"{instance_id} is {state} when RunInstances has answered")
        if not list(host.cache.glob("*.cold")):
            raise RuntimeError("the host is not cold")
        server.terminate(instance_id)
        host.empty_cache()
        return Sample(wall_s=wall_s, cpu_s=used_s, peak_mib=peak_mib, other_cores=others)

    def _made(self, gib: int, name: str) -> str:
        """In the store and in the catalog, as an import leaves it."""
        order: list[Digest] = []
        for repetition in range(gib):
            order += _shuffled(self._digests, f"{gib} GiB, {name}, {repetition}".encode())
        with self._store.writer() as writer:
            empty = Root.empty(len(order))
            root = Manifests(self._store).update(writer, empty, dict(enumerate(order)))
        number = root.digest.hex()[:17]
        catalog = Catalog.open(self._host.server.state_dir / "catalog.sqlite")
        with catalog.begin() as tx:
            owner = accounts.everyone(tx)[0].id
            snapshot = _snapshot(f"snap-{number}", owner, gib, root)
            snapshots.add(tx, snapshot)
            images.add(tx, _image(f"ami-{number}", snapshot))
        catalog.close()
        return f"ami-{number}"


def _stored(store: RegionStore) -> Sequence[Digest]:
    digests: list[Digest] = []
    with store.writer() as writer:
        for _ in range(BLOCKS_PER_GIB):
            block = os.urandom(RANDOM_BYTES) + bytes(BLOCK_BYTES - RANDOM_BYTES)
            digests.append(codec.digest_of(block))
            writer.put(digests[-1], codec.encode(block))
    return digests


def _shuffled(digests: Sequence[Digest], seed: bytes) -> Sequence[Digest]:
    return sorted(digests, key=lambda each: codec.digest_of(seed + each))


def _snapshot(id_: str, owner: AccountId, gib: int, root: Root) -> Snapshot:
    now = RealClock().now()
    return Snapshot(
        id=SnapshotId(id_),
        region=Region("us-east-1"),
        owner=owner,
        volume_id=NO_VOLUME,
        volume_size_gib=gib,
        state=SnapshotState.COMPLETED,
        started_at=now,
        completed_at=now,
        progress_percent=100,
        root=root.to_text(),
    )


def _image(id_: str, of: Snapshot) -> Image:
    ebs = EbsDevice(
        snapshot_id=of.id,
        volume_size_gib=of.volume_size_gib,
        volume_type="gp2",
        delete_on_termination=True,
    )
    return Image(
        id=ImageId(id_),
        region=of.region,
        owner=of.owner,
        name=id_,
        state=ImageState.AVAILABLE,
        root_device_name=ROOT_DEVICE,
        block_device_mappings=(BlockDeviceMapping(device_name=ROOT_DEVICE, ebs=ebs),),
        created_at=of.started_at,
        location=id_,
    )


NOTE = (
    "until RunInstances has answered and the machine runs; chunks in a SeaweedFS of the same"
    " machine. Each launch is of an image that nobody has seen. The 40 GiB are 2048 chunks, each"
    " 40 times, in orders that make every page of every manifest another one: a launch reads pages"
    " and fetches chunks by their places, so that it does not see that they repeat. CPU and memory"
    " are the server's and the block daemon's. A gate of 0.87x allows 1.15 times the time"
)
