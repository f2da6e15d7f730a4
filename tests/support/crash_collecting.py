"""A real server that is killed while it collects, beside imports, copies and deletions.

The disks are made of few blocks in many orders, so that what is deleted with one is just what
another that is being written finds.
"""

import json
import random  # noqa: TID251 (seeded: a failure names its seed)
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from openami.cli.main import main
from support.server import CUT_OFF, Server
from support.waiting import until

KILLED_WITHIN_S: Final = 1.5
WRITERS: Final = 2
BLOCK_BYTES: Final = 512 * 1024
SIGNS: Final = b"abcdef"
EAST, WEST = "us-east-1", "us-west-2"


@dataclass(kw_only=True)
class Collecting:
    """`disks` tells which blocks an image's disk has, by the image's name."""

    server: Server
    random: random.Random
    directory: Path
    disks: dict[str, bytes] = field(default_factory=dict[str, bytes])
    told: list[str] = field(default_factory=list[str])

    def kill_in_a_burst(self) -> None:
        """Everybody is at work without a pause until the power goes."""
        delay_s = self.random.uniform(0.2, KILLED_WITHIN_S)
        began = time.monotonic()
        acts = [self._collect, self._delete, self._copy, *[self._import] * WRITERS]
        seeds = [self.random.randrange(1 << 32) for _ in acts]
        with ThreadPoolExecutor(max_workers=len(acts)) as pool:
            for act, seed in zip(acts, seeds, strict=True):
                pool.submit(self._until_cut_off, act, random.Random(seed))
            until(lambda: time.monotonic() - began >= delay_s, what="the moment comes")
            assert self.server.process is not None
            self.server.process.kill()
            self.server.process.wait(30)
        self.server.close_connections()
        self.server.process = None

    def _until_cut_off(self, act: Callable[[random.Random], object], chance: random.Random) -> None:
        server = self.server.process
        while server is not None and server.poll() is None:
            with suppress(*CUT_OFF, ValueError):
                self.told.append(f"{act.__name__}: {act(chance)}"[:200])

    def _collect(self, _: random.Random) -> object:
        return self._operator({"verb": "collect", "wait_s": 1})

    def _import(self, chance: random.Random) -> object:
        blocks = bytes(chance.choices(SIGNS, k=4))
        name = f"{blocks.decode()}-{chance.randrange(1 << 32)}"
        file = self.directory / f"{name}.raw"
        file.write_bytes(b"".join(bytes([sign]) * BLOCK_BYTES for sign in blocks))
        self.disks[name] = file.read_bytes()
        wanted = {"path": str(file), "name": name, "region": EAST, "boot_mode": "legacy-bios"}
        return self._operator({"verb": "import-image", "account": "default", **wanted})

    def _delete(self, chance: random.Random) -> object:
        ec2 = self.server.client(region=chance.choice([EAST, WEST]))
        found = ec2.describe_images(Owners=["self"])["Images"]
        ended = [each["ImageId"] for each in found if each["State"] == "available"]
        if not ended:
            return None
        gone = chance.choice(ended)
        ec2.deregister_image(ImageId=gone, DeleteAssociatedSnapshots=True)
        return gone

    def _copy(self, chance: random.Random) -> object:
        found = self.server.client().describe_images(Owners=["self"])["Images"]
        ended = [each for each in found if each["State"] == "available"]
        if not ended:
            return None
        source = chance.choice(ended)
        west = self.server.client(region=WEST)
        return west.copy_image(
            SourceImageId=source["ImageId"], SourceRegion=EAST, Name=source["Name"]
        )["ImageId"]

    def _operator(self, request: Mapping[str, Any]) -> object:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self.server.state_dir / "admin.sock"))
            with connection.makefile("rwb") as stream:
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()
                return json.loads(stream.readline())

    # What must be true after

    def check(self) -> None:
        """All that was begun has ended; every disk is there, beside a server that collects."""
        until(lambda: not self._pending(), 120, "every image has ended")
        assert self._store("verify") == 0
        for region in (EAST, WEST):
            for image in self._images(region):
                self._check_disk(image)

    def _images(self, region: str) -> list[dict[str, Any]]:
        return list(self.server.client(region=region).describe_images(Owners=["self"])["Images"])

    def _pending(self) -> list[str]:
        images = [*self._images(EAST), *self._images(WEST)]
        return [each["ImageId"] for each in images if each["State"] == "pending"]

    def _check_disk(self, image: Mapping[str, Any]) -> None:
        if image["State"] != "available":
            return  # an import that a crash cut off from its job
        (mapping,) = image["BlockDeviceMappings"]
        target = self.directory / "exported"
        assert self._store("export", mapping["Ebs"]["SnapshotId"], str(target)) == 0
        content = self.disks[image["Name"]]
        with target.open("rb") as file:
            assert file.read(len(content)) == content, image
        target.unlink()

    def delete_everything(self) -> None:
        """Then nothing is left of it: no object was forgotten, and no lease holds a round up."""
        for region in (EAST, WEST):
            ec2 = self.server.client(region=region)
            for image in self._images(region):
                ec2.deregister_image(ImageId=image["ImageId"], DeleteAssociatedSnapshots=True)
            for snapshot in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
                ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
        self._operator({"verb": "collect", "wait_s": 60})
        state = self.server.state_dir
        stores = (state / "chunks", state / "regions" / WEST / "chunks")
        left = [
            str(file)
            for store in stores
            for kind in ("c", "n")
            for file in (store / kind).rglob("*")
            if file.is_file()
        ]
        assert left == []

    def _store(self, *arguments: str) -> int:
        """A verb of the store, in this process: starting one takes a second."""
        return main(["--state-dir", str(self.server.state_dir), "store", *arguments])
