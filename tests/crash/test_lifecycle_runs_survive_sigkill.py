"""A server that does the work of lifecycle policies under SIGKILL, at random moments.

Its time is an hour further ahead at each start, so that each start has a run to do. CRASH_SEED
repeats the choices of a run (not the host's scheduling).
"""

import os
import random  # noqa: TID251 (seeded: a failure names its seed)
import secrets
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.app import RealClock
from openami.catalog import lifecycle_runs
from openami.catalog.catalog import Catalog
from openami.domain.lifecycle_run import RunStage
from support import api
from support.lifecycle import ROLE, TAG, a_schedule, details
from support.server import Server, serving
from support.waiting import until

KILLS = int(os.environ.get("CRASH_LIFECYCLE_KILLS", "5"))
HOUR_S = 3600
WEST = "us-west-2"
KILLED_WITHIN_S = 3.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def server() -> Generator[Server]:
    directory = Path(tempfile.mkdtemp(prefix="openami-crash-"))
    try:
        with serving(directory / "state", "record", clock_skew_s=str(99 * 24 * HOUR_S)) as found:
            yield found
    finally:
        shutil.rmtree(directory)


def test_a_server_killed_in_its_lifecycle_runs_makes_each_object_once_and_leaves_nothing(
    server: Server,
) -> None:
    seed = int(os.environ.get("CRASH_SEED") or secrets.randbits(32))
    print(f"CRASH_SEED={seed}")
    chance = random.Random(seed)
    make_policies(server)
    for number in range(1, KILLS + 1):
        at_hour(server, number)
        server.begin()
        wait(chance.uniform(0.2, KILLED_WITHIN_S))
        server.kill()
        server.start()
        names = [each["Name"] for each in images(server)]
        assert len(set(names)) == len(names), names
        server.kill()
    at_hour(server, KILLS + 1)
    for _ in range(4):  # each start is a sweep
        server.start()
        until(lambda: not unsettled(server), what="what was begun ends")
        server.stop()
    server.start()
    check_end(server)


def make_policies(server: Server) -> None:
    """Images that are copied, and snapshots of all volumes, every hour."""
    disk = server.state_dir / "small.raw"
    disk.write_bytes(b"content" * 4096 + bytes(1 << 20))
    imported = server.openami("image", "import", str(disk), "--name", "small")
    ec2: Any = server.client()
    instance_id = api.launch(ec2, imported.stdout.strip())["InstanceId"]
    ec2.create_tags(Resources=[instance_id], Tags=[TAG])
    # Half an hour from now, so that no run comes while the test is busy with an hour.
    at = (RealClock().now() + timedelta(minutes=30)).strftime("%H:%M")
    hourly = {"Interval": 1, "IntervalUnit": "HOURS", "Times": [at]}
    copy = {"Encrypted": False, "CopyTags": False}
    age = {"RetainRule": {"Interval": 9, "IntervalUnit": "DAYS"}}
    schedule = a_schedule(CreateRule=hourly, RetainRule={"Count": 2})
    of_images = {**schedule, "CrossRegionCopyRules": [{**copy, **age, "TargetRegion": WEST}]}
    dlm: Any = server.client("dlm")
    for plan in (
        details({**of_images, "DeprecateRule": {"Count": 1}}),
        details(schedule, images=False, ResourceTypes=["INSTANCE"]),
    ):
        dlm.create_lifecycle_policy(
            ExecutionRoleArn=ROLE, Description="hourly", State="ENABLED", PolicyDetails=plan
        )
    server.stop()


def at_hour(server: Server, number: int) -> None:
    ahead = str(number * HOUR_S)
    server.environment = {**server.environment, "OPENAMI_CLOCK_AHEAD_S": ahead}


def wait(seconds: float) -> None:
    began = time.monotonic()
    until(lambda: time.monotonic() - began >= seconds, seconds + 30, "the moment comes", 0.01)


def images(server: Server, region: str = "us-east-1") -> list[dict[str, Any]]:
    """Those that the policy made, oldest first."""
    ec2: Any = server.client(region=region)
    managed = [{"Name": "tag:dlm:managed", "Values": ["true"]}]
    found = ec2.describe_images(Owners=["self"], Filters=managed)["Images"]
    return sorted(found, key=lambda each: str(each["Name"]))


def snapshots(server: Server, region: str = "us-east-1") -> list[dict[str, Any]]:
    ec2: Any = server.client(region=region)
    managed = [{"Name": "tag:dlm:managed", "Values": ["true"]}]
    found: list[dict[str, Any]] = ec2.describe_snapshots(OwnerIds=["self"], Filters=managed)[
        "Snapshots"
    ]
    return found


def unsettled(server: Server) -> list[str]:
    return [
        str(each)
        for region in ("us-east-1", WEST)
        for each in (*images(server, region), *snapshots(server, region))
        if each["State"] == "pending"
    ]


def check_end(server: Server) -> None:
    kept, copies = images(server), images(server, WEST)
    assert [each["State"] for each in kept] == ["available"] * 2
    assert ["DeprecationTime" in each for each in kept] == [True, False]
    names = [each["Name"] for each in copies]
    assert len(set(names)) == len(names)
    assert {each["Name"] for each in kept} <= set(names)
    assert {each["State"] for each in copies} == {"available"}
    assert len(snapshots(server, WEST)) == len(copies)
    sets = [each for each in snapshots(server) if "schedule" in each["Description"]]
    assert [each["State"] for each in sets] == ["completed"] * 2
    assert len(snapshots(server)) == len(kept) + len(sets)
    server.stop()
    catalog = Catalog.open(server.state_dir / "catalog.sqlite")
    with closing(catalog), catalog.read() as tx:
        for stage in (RunStage.DUE, RunStage.MADE, RunStage.FAILED, RunStage.DOOMED):
            assert lifecycle_runs.in_stage(tx, stage) == []
    server.start()
    verified = server.openami("store", "verify", check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
