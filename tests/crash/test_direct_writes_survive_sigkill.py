"""Blocks put one by one by the EBS direct APIs, into a directory and into a bucket, under SIGKILL.

CRASH_SEED repeats the choices of a run (not the host's scheduling); CRASH_KILLS
says how often the server is killed.
"""

import base64
import hashlib
import os
import random  # noqa: TID251 (seeded: a failure names its seed)
import secrets
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from openami.app import RealClock, RealIds
from openami.objects.weed import EmbeddedS3
from support import api
from support.objects import make_bucket
from support.server import CUT_OFF, Server, serving
from support.waiting import until

KILLS: Final = int(os.environ.get("CRASH_KILLS", "3"))
KILLED_WITHIN_S: Final = 0.7
WRITERS: Final = 2  # of each snapshot
BLOCK: Final = 512 << 10
REGIONS: Final = ("us-east-1", "us-west-2")  # in a bucket, and in a directory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server]:
    """It collects without a pause."""
    embedded = EmbeddedS3(tmp_path / "s3", RealClock(), RealIds())
    s3 = embedded.endpoint()
    try:
        make_bucket(s3, "chunks")
        with serving(
            tmp_path / "state",
            "record",
            collect_every_s="1",
            region_stores=f"{REGIONS[0]}=s3://chunks/east?endpoint={s3.url}",
            region_store_keys=f"{REGIONS[0]}={s3.access_key_id}:{s3.secret_access_key}",
        ) as found:
            yield found
    finally:
        embedded.close()


@dataclass
class Writing:
    """A snapshot that is written by several clients at once."""

    server: Server
    region: str
    numbers: Iterator[int]
    snapshot_id: str = ""
    answered: dict[int, bytes] = field(default_factory=dict[int, bytes])
    """Block → the SHA256 of what was put there, as soon as that was acknowledged."""
    unanswered: dict[int, bytes] = field(default_factory=dict[int, bytes])

    @property
    def ebs(self) -> Any:
        return self.server.client("ebs", region=self.region)

    def begin(self) -> None:
        self.snapshot_id = self.ebs.start_snapshot(VolumeSize=1)["SnapshotId"]

    def write_until_cut_off(self) -> None:
        process, ebs = self.server.process, self.ebs
        while process is not None and process.poll() is None:
            number = next(self.numbers, None)
            if number is None:  # the disk is full
                return
            # Every third is what another has: it is found, and not written.
            block = f"{number - number % 3}".encode().ljust(BLOCK, b"x")
            self.unanswered[number] = block
            with suppress(*CUT_OFF):
                self.put(ebs, number, block)

    def put(self, ebs: Any, number: int, block: bytes) -> None:
        digest = hashlib.sha256(block).digest()
        ebs.put_snapshot_block(
            SnapshotId=self.snapshot_id,
            BlockIndex=number,
            BlockData=block,
            DataLength=BLOCK,
            Checksum=base64.b64encode(digest).decode(),
            ChecksumAlgorithm="SHA256",
        )
        self.answered[number] = digest
        del self.unanswered[number]

    def finish(self) -> None:
        """Put what was not answered once more, and nothing else: the rest has to be there."""
        for number, block in list(self.unanswered.items()):
            self.put(self.ebs, number, block)
        count = len(self.answered)
        self.ebs.complete_snapshot(SnapshotId=self.snapshot_id, ChangedBlocksCount=count)
        ec2: Any = self.server.client(region=self.region)
        api.await_state(ec2, "snapshot_completed", SnapshotIds=[self.snapshot_id])
        assert dict(self.read()) == self.answered

    def read(self) -> Iterator[tuple[int, bytes]]:
        asked = {"SnapshotId": self.snapshot_id}
        page = self.ebs.list_snapshot_blocks(**asked, MaxResults=10_000)
        for each in page["Blocks"]:
            token = {"BlockIndex": each["BlockIndex"], "BlockToken": each["BlockToken"]}
            body = self.ebs.get_snapshot_block(**asked, **token)["BlockData"].read()
            yield each["BlockIndex"], hashlib.sha256(body).digest()


def test_a_block_whose_put_was_answered_is_there_after_a_kill(server: Server) -> None:
    seed = int(os.environ.get("CRASH_SEED") or secrets.randbits(32))
    print(f"CRASH_SEED={seed}")
    chance = random.Random(seed)
    numbers = iter(range(2048))
    writings = [Writing(server, region, numbers) for region in REGIONS]
    for each in writings:
        each.begin()
    for _ in range(KILLS):
        kill_in_a_burst(server, writings, chance.uniform(0.1, KILLED_WITHIN_S))
        server.start()
    assert sum(len(each.answered) for each in writings) > 0
    for each in writings:
        each.finish()
    verified = server.openami("store", "verify", check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def kill_in_a_burst(server: Server, writings: list[Writing], delay_s: float) -> None:
    """Not before each of them has something answered: clients take their time to begin."""
    before = {each.region: len(each.answered) for each in writings}
    with ThreadPoolExecutor(max_workers=WRITERS * len(writings)) as pool:
        for each in [*writings] * WRITERS:
            pool.submit(each.write_until_cut_off)
        until(
            lambda: all(len(each.answered) > before[each.region] for each in writings),
            60,
            "each has something answered",
        )
        began = time.monotonic()
        until(lambda: time.monotonic() - began >= delay_s, 60, "the moment comes", 0.01)
        assert server.process is not None
        server.process.kill()
        server.process.wait(30)
    server.close_connections()
    server.process = None
