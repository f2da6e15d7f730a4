"""The block daemon, in a process of its own, under the clients that others have written."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.manifest import Manifests
from openami.cli import blocks
from openami.domain.block import BLOCK_BYTES
from openami.domain.manifest import Root
from openami.nbd import process
from openami.nbd.client import Daemon, DaemonAway
from openami.nbd.keeper import Keeper
from openami.nbd.written import written
from openami.settings import Settings
from support.blocks import a_block, qemu_img
from support.nbd import HERE, content, stored
from support.waiting import until

SIZE = 192  # blocks
BLOCKS = {index: a_block(f"block {index}") for index in (0, 1, 2, 5, 63, 64, 100, 190)}
DISK = content(BLOCKS, SIZE)


class OneHost:
    """A state directory with a disk in its store, and the daemon that `serve` starts."""

    def __init__(self, directory: Path, hydrate_mib_per_s: float) -> None:
        self.settings = Settings(
            state_dir=directory, block_daemon="on", hydrate_mib_per_s=hydrate_mib_per_s
        )
        self.places = {HERE: directory / "chunks"}
        self.root: Root = stored(LocalDirChunkStore(directory / "chunks"), BLOCKS, SIZE)
        self.exported: Path | None = None

    def serve(self) -> Daemon:
        return process.ensure(self.settings, self.places)

    def export(self) -> str:
        self.exported = self.serve().open_export("vol-1", HERE, self.root, os.getuid())
        return f"nbd+unix:///?socket={self.exported}"

    def pid(self) -> int:
        told = json.loads((process.directory_of(self.settings) / "daemon.json").read_bytes())
        return int(told["pid"])

    def kill(self) -> None:
        """And see it end."""
        os.kill(self.pid(), signal.SIGKILL)
        until(lambda: not process.is_running(self.settings), what="it is dead")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    host = OneHost(tmp_path, 0.5)
    yield host
    process.stop(host.settings)


def needed(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: apt install libnbd-bin")


def ran(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_qemu_img_copies_compares_and_maps_the_disk(host: OneHost, tmp_path: Path) -> None:
    url = host.export()
    extents = json.loads(qemu_img("map", "--output=json", "-f", "raw", url))
    assert [
        (each["start"], each["length"], each["data"], each["zero"]) for each in extents[:3]
    ] == [
        (0, 3 * BLOCK_BYTES, True, False),
        (3 * BLOCK_BYTES, 2 * BLOCK_BYTES, False, True),
        (5 * BLOCK_BYTES, BLOCK_BYTES, True, False),
    ]
    copy = tmp_path / "copy.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", url, copy)
    assert "identical" in qemu_img("compare", "-f", "raw", "-F", "qcow2", url, copy)
    qemu_img("convert", "-f", "raw", "-O", "raw", url, tmp_path / "copy.raw")
    assert (tmp_path / "copy.raw").read_bytes() == DISK


def test_an_overlay_over_the_export_reads_through(host: OneHost, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.qcow2"
    qemu_img("create", "-f", "qcow2", "-b", host.export(), "-F", "raw", overlay)
    qemu_img("convert", "-f", "qcow2", "-O", "raw", overlay, tmp_path / "copy.raw")
    assert (tmp_path / "copy.raw").read_bytes() == DISK


def test_libnbds_clients_read_it(host: OneHost, tmp_path: Path) -> None:
    needed("nbdinfo")
    needed("nbdcopy")
    url = host.export()
    told = json.loads(ran("nbdinfo", "--json", url))["exports"][0]
    assert told["export-size"] == len(DISK)
    assert told["is_read_only"]
    assert told["can_multi_conn"]
    assert told["can_df"]
    assert told["contexts"] == ["base:allocation"]
    mapped = json.loads(ran("nbdinfo", "--map", "--json", url))
    assert sum(each["length"] for each in mapped if each["type"] == 0) == len(BLOCKS) * BLOCK_BYTES
    ran("nbdcopy", url, tmp_path / "copy.raw")
    assert (tmp_path / "copy.raw").read_bytes() == DISK
    ran("nbdcopy", "--no-extents", "--request-size=33554432", url, tmp_path / "whole.raw")
    assert (tmp_path / "whole.raw").read_bytes() == DISK


def test_a_reader_waits_while_the_daemon_is_killed_and_started_again(host: OneHost) -> None:
    host.export()
    options = f"driver=nbd,server.type=unix,server.path={host.exported},reconnect-delay=120"
    reader = subprocess.Popen(
        ["qemu-io", "-r", "--image-opts", options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    with reader:
        reader.stdin.write("read -v 0 16\n")
        reader.stdin.flush()
        while "ops" not in reader.stdout.readline():
            pass
        for _ in range(2):
            host.kill()
            reader.stdin.write(f"read -v {100 * BLOCK_BYTES} 16\n")
            reader.stdin.flush()
            host.serve()
            line = ""
            while "ops" not in line:
                line = reader.stdout.readline()
                assert "failed" not in line
                if line.startswith(("03200000", "qemu-io> 03200000")):
                    assert BLOCKS[100][:16].hex(" ") in line
        reader.stdin.write("quit\n")


def test_a_daemon_killed_at_any_moment_serves_nothing_wrong_after_it(host: OneHost) -> None:
    """Reads and kills in turns: what was here stays, what was not comes, and all of it is right."""
    url = host.export()
    for turn in range(4):
        for index in (turn, 60 + turn, 189 - turn * 30):
            script = f"read -P {DISK[index * BLOCK_BYTES]} {index * BLOCK_BYTES} 1"
            assert "failed" not in ran("qemu-io", "-r", "-f", "raw", "-c", script, url)
        before = host.serve().hydration(HERE, host.root).blocks_here
        host.kill()
        assert host.serve().hydration(HERE, host.root).blocks_here >= before
    assert "identical" in qemu_img("compare", "-f", "raw", "-F", "raw", url, reference(host))


def reference(host: OneHost) -> Path:
    path = host.settings.state_dir / "reference.raw"
    path.write_bytes(DISK)
    return path


def test_the_daemon_is_adopted_and_outlives_who_started_it(host: OneHost) -> None:
    host.export()
    pid = host.pid()
    assert host.serve().exports().keys() == {"vol-1"}
    assert host.pid() == pid, "the same one"
    status = Path(f"/proc/{pid}/status").read_text()
    assert f"PPid:\t{os.getpid()}\n" not in status, "it is not our child"
    assert os.getsid(pid) != os.getsid(0)


def test_the_daemon_ends_with_its_server_unless_something_is_read_from_it(host: OneHost) -> None:
    keeper = Keeper(host.settings, host.places)
    keeper.ensure()
    assert process.is_running(host.settings)
    host.export()
    keeper.release()
    assert process.is_running(host.settings)
    keeper.client.close_export("vol-1")
    keeper.release()
    assert not process.is_running(host.settings)
    keeper.release()


def test_the_doctor_tells_of_disks_that_wait_and_of_disks_that_do_not_come(
    host: OneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*volumes: str) -> list[str]:
        offered = written(process.directory_of(host.settings))
        return list(blocks.findings(host.settings, offered, volumes))

    assert told() == []
    store = LocalDirChunkStore(host.places[HERE])
    lost = Manifests(store).lookup(host.root, 0)
    store.delete(lost)
    host.export()
    until(lambda: told("vol-1"), what="it does not come")
    assert told("vol-1")[0].startswith("vol-1 does not come to this host: block 0")
    monkeypatch.setattr(blocks, "ENDING_S", 0.1)
    assert told()[0] == "vol-1 is served, and no machine may read it"
    host.kill()
    assert told("vol-1") == ["1 disks wait for a block daemon and none runs"]


def test_a_daemon_of_other_settings_is_replaced_and_serves_the_same(host: OneHost) -> None:
    host.export()
    pid = host.pid()
    host.settings = Settings(state_dir=host.settings.state_dir, hydrate_mib_per_s=0)
    daemon = host.serve()
    assert host.pid() != pid
    assert daemon.exports().keys() == {"vol-1"}
    until(lambda: daemon.hydration(HERE, host.root).complete, what="it has no limit now")
    assert daemon.hydration(HERE, host.root).path.read_bytes() == DISK


def test_one_that_is_not_there_is_away(tmp_path: Path) -> None:
    with pytest.raises(DaemonAway):
        Daemon(tmp_path, timeout_s=0.2).exports()


def test_one_that_cannot_be_started_is_away(host: OneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DaemonAway, match="cannot be started"):
        host.serve()


def test_a_deep_state_directory_has_room_for_sockets(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    host = OneHost(deep, 0)
    try:
        host.export()
        daemon = host.serve()
        until(lambda: daemon.hydration(HERE, host.root).complete, what="it is here")
    finally:
        process.stop(host.settings)
