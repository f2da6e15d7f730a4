"""Thirty-two machines of one image, on a host that has nothing of it: what the store is asked for.

The machines are clients that read the whole of their disk, all at once, from the block daemon.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from openami.blockstore.cache import BaseCache
from openami.blockstore.volumes import VolumeHost
from openami.domain.block import BLOCK_BYTES
from openami.nbd import control
from openami.nbd.client import Daemon
from openami.services import Services
from openami.workflows import cold_disks
from support.asking import put
from support.blocks import a_block
from support.builders import HERE, a_snapshot, an_image
from support.calls import call, instance, launch
from support.cold import ReadingDriver
from support.fakes import services
from support.nbd import Client, CountingStore, a_daemon, content, stored
from support.waiting import until

MACHINES = 32
SIZE = 2048  # blocks, 1 GiB
BLOCKS = {index: a_block(f"block {index}") for index in (*range(24), 500, 501, 1300, SIZE - 1)}
DATA = content(BLOCKS, 24)


def reads(path: Path, meet: threading.Barrier) -> bool:
    """Whether a machine that reads its disk, with its own requests' bounds, sees what is right."""
    with Client(path) as client:
        assert client.go() == SIZE * BLOCK_BYTES
        meet.wait(60)
        length = 4 * BLOCK_BYTES
        first = b"".join(client.read(offset, length) for offset in range(0, len(DATA), length))
        others = [client.read(index * BLOCK_BYTES + 512, 4096) for index in (500, 1300, SIZE - 1)]
    right = [BLOCKS[index][512 : 512 + 4096] for index in (500, 1300, SIZE - 1)]
    return first == DATA and others == right


def test_thirty_two_launches_of_a_cold_image_read_each_chunk_once(tmp_path: Path) -> None:
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    driver = ReadingDriver(tmp_path / "instances", lambda: None)
    daemon_of_host = Daemon(tmp_path / "blocks")

    def cold(svc: Services) -> Services:
        stores = {**svc.stores, HERE: store}
        host = VolumeHost(
            tmp_path / "volumes", BaseCache(tmp_path / "cache"), stores, over_absent_bases=True
        )
        return replace(svc, stores=stores, volumes=host, blocks=daemon_of_host)

    with (
        a_daemon(tmp_path, {HERE: store}) as daemon,
        control.listening(daemon.control, tmp_path / "blocks"),
    ):
        svc = services(tmp_path, compute=driver, disturbed=cold)
        put(svc, a_snapshot(root=root.to_text()), an_image())
        store.gate.clear()
        launched = launch(svc, MinCount=MACHINES, MaxCount=MACHINES)["Instances"]
        ids = [each["InstanceId"] for each in launched]
        assert {instance(svc, each)["State"]["Name"] for each in ids} == {"running"}
        sockets = [path for path in driver.reads.values() if path is not None]
        assert len({*sockets}) == MACHINES
        meet = threading.Barrier(MACHINES + 1)
        with ThreadPoolExecutor(MACHINES) as machines:
            seen = [machines.submit(reads, path, meet) for path in sockets]
            meet.wait(60)
            store.gate.set()
            assert all(each.result(120) for each in seen)
        until(lambda: daemon_of_host.hydration(HERE, root).complete, what="all of it is here")
        cold_disks.tend(svc, daemon_of_host)
        assert {*driver.reads.values()} == {BaseCache(tmp_path / "cache").path(root)}
        assert daemon_of_host.exports() == {}
        call(svc, "TerminateInstances", InstanceIds=ids)
    assert set(store.fetches.values()) == {1}
    assert len(store.fetches) == len(BLOCKS)
    assert set(store.pages.values()) == {1}
