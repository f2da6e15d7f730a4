"""A real server that is killed while images and snapshots come and go: out of sight and back.

Into the Recycle Bin and out of it, into the archive and out of it, to hand and away. Nothing is
ever deleted for good, so whatever is nowhere to be found was lost.
"""

import random  # noqa: TID251 (seeded: a failure names its seed)
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from openami.blockstore.cache import BaseCache
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.regional import ARCHIVE
from openami.catalog import snapshots
from openami.catalog.catalog import Catalog
from openami.cli.main import main
from openami.domain.ids import SnapshotId
from openami.domain.manifest import Root
from support.server import CUT_OFF, Server
from support.waiting import until

BLOCK: Final = 512 << 10
KILLED_WITHIN_S: Final = 0.8
ZONES: Final = ["us-east-1a", "us-east-1b"]
DISKS: Final = 3
COPIES: Final = 2


@dataclass(kw_only=True)
class Retirement:
    """`contents` names each snapshot's disk; an image's snapshot is its own."""

    server: Server
    random: random.Random
    directory: Path
    contents: dict[str, Path] = field(default_factory=dict)
    image_of: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    @property
    def ec2(self) -> Any:
        return self.server.client()

    def prepare(self) -> None:
        """Images of disks that have half of their blocks in common, and copies of snapshots."""
        period = {"RetentionPeriodValue": 7, "RetentionPeriodUnit": "DAYS"}
        for kind in ("EC2_IMAGE", "EBS_SNAPSHOT"):
            self.server.client("rbin").create_rule(ResourceType=kind, RetentionPeriod=period)
        common = self.random.randbytes(4 * BLOCK)
        for number in range(DISKS):
            disk = self.directory / f"disk-{number}.raw"
            disk.write_bytes(common + self.random.randbytes(4 * BLOCK))
            self._import(disk)
        self.until_settled()

    def _import(self, disk: Path) -> None:
        made = self.server.openami("image", "import", str(disk), "--name", disk.stem)
        image_id = made.stdout.strip()
        (image,) = self.ec2.describe_images(ImageIds=[image_id])["Images"]
        snapshot_id = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
        self.contents[snapshot_id] = disk
        self.image_of[snapshot_id] = image_id
        for _ in range(COPIES):
            copy = self.ec2.copy_snapshot(SourceSnapshotId=snapshot_id, SourceRegion="us-east-1")
            self.contents[copy["SnapshotId"]] = disk

    # A burst and a kill

    def kill_in_a_burst(self) -> None:
        chosen = self.random.sample(sorted(self.contents), k=5)
        acts = [self._act(each) for each in chosen]
        delay_s = self.random.uniform(0, KILLED_WITHIN_S)
        self.told.append(f"killed after {delay_s:.3f} s of {chosen}")
        with ThreadPoolExecutor(max_workers=len(acts)) as pool:
            began = time.monotonic()
            for act in acts:
                pool.submit(self._quietly, act)
            until(lambda: time.monotonic() - began >= delay_s, what="the moment comes")
            assert self.server.process is not None
            self.server.process.kill()
            self.server.process.wait(30)
        self.server.close_connections()
        self.server.process = None

    def _quietly(self, act: Callable[[], None]) -> None:
        """What is refused, or cut off, was not done: the checks tell whether that is so."""
        with suppress(*CUT_OFF):
            act()

    def _act(self, snapshot_id: str) -> Callable[[], None]:
        """Send it away, or bring it back: what does not fit its state is refused."""
        ec2, days = self.ec2, self.random.randint(1, 9)
        named = {"SourceSnapshotIds": [snapshot_id], "AvailabilityZones": ZONES}
        if snapshot_id in self.image_of and self.random.random() < 0.7:
            return self.random.choice(
                [
                    lambda: ec2.deregister_image(
                        ImageId=self.image_of[snapshot_id], DeleteAssociatedSnapshots=True
                    ),
                    lambda: self._out_of_the_bin(snapshot_id),
                ]
            )
        how = self.random.choice([{"PermanentRestore": True}, {"TemporaryRestoreDays": days}])
        return self.random.choice(
            [
                lambda: ec2.delete_snapshot(SnapshotId=snapshot_id),
                lambda: self._out_of_the_bin(snapshot_id),
                lambda: ec2.modify_snapshot_tier(SnapshotId=snapshot_id, StorageTier="archive"),
                lambda: ec2.restore_snapshot_tier(SnapshotId=snapshot_id, **how),
                lambda: ec2.enable_fast_snapshot_restores(**named),
                lambda: ec2.disable_fast_snapshot_restores(**named),
            ]
        )

    def _out_of_the_bin(self, snapshot_id: str) -> None:
        with suppress(ClientError):
            self.ec2.restore_snapshot_from_recycle_bin(SnapshotId=snapshot_id)
        if snapshot_id in self.image_of:
            image_id = self.image_of[snapshot_id]
            with suppress(ClientError):
                self.ec2.restore_image_from_recycle_bin(ImageId=image_id)

    # What must be true after

    def until_settled(self) -> None:
        until(lambda: not self._unsettled(), what="everything has come to an end")

    def _unsettled(self) -> list[str]:
        tiers = self.ec2.describe_snapshot_tier_status()["SnapshotTierStatuses"]
        fast = self.ec2.describe_fast_snapshot_restores()["FastSnapshotRestores"]
        pending = self.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        return [
            *(
                each["SnapshotId"]
                for each in tiers
                if each["LastTieringOperationStatus"].endswith("-in-progress")
            ),
            *(each["SnapshotId"] for each in fast if each["State"] not in ("enabled", "disabled")),
            *(each["SnapshotId"] for each in pending if each["State"] == "pending"),
        ]

    def check(self) -> None:
        """Each thing is in one place, and each place is as it is told."""
        found = self._ids("Snapshots", "SnapshotId")
        assert sorted(found) == sorted(self.contents)
        assert sorted(self._ids("Images", "ImageId")) == sorted(self.image_of.values())
        assert self._main("verify") == 0
        store = LocalDirChunkStore(self.server.state_dir / "chunks")
        cold = LocalDirChunkStore(store.directory / ARCHIVE)
        assert [each for each in cold.digests() if store.has(each)] == []
        for part in (store.directory, cold.directory):
            assert list((part / "stage").iterdir()) == []
        # The sweep may only now disable what went into the bin or the archive.
        until(self._is_at_hand_what_is_told, what="what is enabled, and nothing else, is at hand")

    def _is_at_hand_what_is_told(self) -> bool:
        directory = self.server.state_dir / "cache"
        told = self.ec2.describe_fast_snapshot_restores()["FastSnapshotRestores"]
        roots = {self._root(each["SnapshotId"]) for each in told if each["State"] == "enabled"}
        wanted = {BaseCache(directory).path(root) for root in roots if root is not None}
        return set(directory.iterdir()) == wanted

    def _ids(self, noun: str, named: str) -> list[str]:
        """Of what is listed and of what is in the bin."""
        ec2 = self.ec2
        if noun == "Images":
            listed = ec2.describe_images(Owners=["self"])[noun]
            binned = ec2.list_images_in_recycle_bin()[noun]
        else:
            listed = ec2.describe_snapshots(OwnerIds=["self"])[noun]
            binned = ec2.list_snapshots_in_recycle_bin()[noun]
        return [each[named] for each in (*listed, *binned)]

    def _root(self, snapshot_id: str) -> Root | None:
        catalog = Catalog.open(self.server.state_dir / "catalog.sqlite")
        with closing(catalog), catalog.read() as tx:
            snapshot = snapshots.fetch_any(tx, SnapshotId(snapshot_id))
        return None if snapshot is None or snapshot.root is None else Root.from_text(snapshot.root)

    def _main(self, *arguments: str) -> int:
        """A verb of the store, in this process: starting one takes a second."""
        return main(["--state-dir", str(self.server.state_dir), "store", *arguments])

    def bring_everything_back(self) -> None:
        for snapshot_id in self.contents:
            self._out_of_the_bin(snapshot_id)
            with suppress(ClientError):
                self.ec2.restore_snapshot_tier(SnapshotId=snapshot_id, PermanentRestore=True)
        self.until_settled()
        for snapshot_id in self.image_of:
            self._out_of_the_bin(snapshot_id)  # whose snapshot was in the archive
        listed = self.ec2.describe_images(Owners=["self"])["Images"]
        assert sorted(each["ImageId"] for each in listed) == sorted(self.image_of.values())

    def check_contents(self) -> None:
        exported = self.directory / "exported.raw"
        for snapshot_id, disk in self.contents.items():
            assert self._main("export", snapshot_id, str(exported)) == 0
            with exported.open("rb") as file:
                assert file.read(disk.stat().st_size) == disk.read_bytes(), snapshot_id
            exported.unlink()
