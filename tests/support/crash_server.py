"""A real server that is killed at random moments of a mixed load, and what must be true after.

The load is boto3's and the operator's socket. One guest, the witness, was given random data
and stopped before the first kill: whatever is made of its volume must be that data.
"""

import json
import random  # noqa: TID251 (seeded: a failure names its seed)
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from openami.catalog import snapshots, vpcs
from openami.catalog.catalog import Catalog
from openami.cli import host
from openami.cli.main import main
from openami.compute.network import namespace, routes
from openami.compute.network.plan import veth_name
from openami.domain.ids import SnapshotId
from support.server import CUT_OFF, Server
from support.waiting import until

ALIVE_MAX = 4
KILLED_WITHIN_S = 1.5
SETTLE_DEADLINE_S = 240.0  # a few of the sweeps that come each minute
IMPORT_BYTES = 16 << 20
EAST, WEST = "us-east-1", "us-west-2"
STAGES = ("chunks/stage", f"regions/{WEST}/chunks/stage")
USER_DATA = "#!/bin/sh\ndd if=/dev/urandom of=/root/noise bs=1M count=3\nsync\n"
RUNNING, STOPPED, TERMINATED = "running", "stopped", "terminated"

Operation = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Census:
    """What the API says there is, by id."""

    instances: dict[str, dict[str, Any]]
    images: dict[str, dict[str, Any]]
    snapshots: dict[str, dict[str, Any]]
    volumes: dict[str, dict[str, Any]]

    def in_state(self, *states: str) -> list[str]:
        return [name for name, each in self.instances.items() if each["State"]["Name"] in states]

    def unsettled(self) -> list[str]:
        """Whatever is on its way from one state to another."""
        ends = (RUNNING, STOPPED, TERMINATED)
        found = [
            f"{name} {each['State']['Name']}"
            for name, each in self.instances.items()
            if each["State"]["Name"] not in ends
        ]
        for name, each in self.images.items():
            found += [f"{name} pending"] if each["State"] == "pending" else []
        for name, each in self.snapshots.items():
            found += [f"{name} pending"] if each["State"] == "pending" else []
        for name, each in self.volumes.items():
            attachments = [one["State"] for one in each["Attachments"]]
            if each["State"] not in ("available", "in-use") or any(
                state != "attached" for state in attachments
            ):
                found.append(f"{name} {each['State']} {attachments}")
        return found


@dataclass(kw_only=True)
class Life:
    """One server through many deaths; `told` is the diary, for whoever reads a failure."""

    server: Server
    random: random.Random
    tiny_id: str
    directory: Path
    unbootable_id: str = ""  # for most guests, since booting several at once takes long
    told: list[str] = field(default_factory=list)
    imports: dict[str, Path] = field(default_factory=dict)
    tokens: dict[str, tuple[int, str]] = field(default_factory=dict)
    witness: str = ""
    spared: dict[str, int] = field(default_factory=dict)
    round: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def ec2(self) -> Any:
        return self.server.client()

    @property
    def west(self) -> Any:
        return self.server.client(region=WEST)

    def census(self) -> Census:
        ec2 = self.ec2
        described = [
            instance
            for reservation in ec2.describe_instances()["Reservations"]
            for instance in reservation["Instances"]
        ]
        images, snapshots = [], []
        for region in (self.ec2, self.west):
            images += region.describe_images(Owners=["self"])["Images"]
            snapshots += region.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        return Census(
            instances={each["InstanceId"]: each for each in described},
            images={each["ImageId"]: each for each in images},
            snapshots={each["SnapshotId"]: each for each in snapshots},
            volumes={each["VolumeId"]: each for each in ec2.describe_volumes()["Volumes"]},
        )

    def pids(self) -> dict[str, int]:
        found = list(host.processes(self.server.state_dir))
        pids = {each.instance_id: each.pid for each in found}
        assert len(pids) == len(found), f"an instance has two machines: {found}"
        return pids

    def say(self, text: str) -> None:
        line = f"[{self.round}] {time.monotonic() - self.began:6.1f} s {text}"
        self.told.append(line)
        print(line, flush=True)

    # Before the first kill

    def make_witness(self) -> None:
        """A guest that wrote random data to its disk, and was stopped."""
        source = self._source("unbootable")
        self.unbootable_id = self.imported("unbootable", source)["image_id"]
        self.imports["unbootable"] = source
        self.witness = self._launch(1, "witness", self.tiny_id)[0]
        until(lambda: b"tiny: READY" in self._console(self.witness), 120, "the witness is up")
        self.ec2.stop_instances(InstanceIds=[self.witness])
        self.settled()
        self.say("the witness has stopped")

    def _console(self, instance_id: str) -> bytes:
        console = self.server.state_dir / "instances" / instance_id / "console.log"
        return console.read_bytes() if console.exists() else b""

    # A burst and a kill

    def kill_in_a_burst(self) -> None:
        """Begin several operations at once, and SIGKILL the server at a moment within them."""
        self.round += 1
        before = self.census()
        pids = self.pids()
        chosen = self._chosen(before)
        delay_s = self.random.uniform(0, KILLED_WITHIN_S)
        self.say(f"killed after {delay_s:.3f} s of: {', '.join(name for name, _ in chosen)}")
        touched = {word for name, _ in chosen for word in name.split()}
        self.spared = {name: pids[name] for name in before.in_state(RUNNING) if name not in touched}
        with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
            began = time.monotonic()
            futures = {name: pool.submit(act) for name, act in chosen}
            until(lambda: time.monotonic() - began >= delay_s, delay_s + 1, "the moment comes")
            assert self.server.process is not None
            self.server.process.kill()
            self.server.process.wait(30)
            for name, future in futures.items():
                self.say(f"  {name}: {_outcome(future)}")
        self.server.close_connections()
        self.server.process = None

    def _chosen(self, census: Census) -> list[tuple[str, Operation]]:
        """A few operations on different instances; their names say on which."""
        live = [name for name in census.in_state(RUNNING, STOPPED) if name != self.witness]
        self.random.shuffle(live)
        chosen = [self._import(), self._of_witness(census), *self._copies(census)]
        room = ALIVE_MAX - len(census.in_state(RUNNING))
        if room > 0:
            chosen.append(self._run(min(room, self.random.randint(1, 2))))
        for instance_id in live[: self.random.randint(1, 3)]:
            chosen.append(self._on(instance_id, census))
        self.random.shuffle(chosen)
        return chosen

    def _import(self) -> tuple[str, Operation]:
        name = f"import-{self.round}"
        source = self.imports[name] = self._source(name)
        return name, lambda: self.imported(name, source)

    def _source(self, name: str) -> Path:
        source = self.directory / f"{name}.raw"
        with source.open("wb") as disk:
            disk.write(self.random.randbytes(IMPORT_BYTES))
            disk.truncate(2 * IMPORT_BYTES)
        return source

    def _copies(self, census: Census) -> list[tuple[str, Operation]]:
        """An import goes to the other region, and now and then a copy comes back."""
        there = [
            each
            for each in census.images.values()
            if each["State"] == "available" and each["Name"] in self.imports
        ]
        if not there:
            return []
        image = self.random.choice(there)
        name = f"copy-{self.round}"
        self.imports[name] = self.imports[image["Name"]]
        is_in_the_west = image.get("SourceImageRegion") == EAST
        source, to = (WEST, self.ec2) if is_in_the_west else (EAST, self.west)
        asked = {"Name": name, "SourceImageId": image["ImageId"], "SourceRegion": source}
        return [(f"copy-image {name}", lambda: to.copy_image(**asked, ClientToken=name))]

    def _of_witness(self, census: Census) -> tuple[str, Operation]:
        if self.random.random() < 0.5:
            name = f"witness-{self.round}"
            return f"create-image {name}", lambda: self.ec2.create_image(
                InstanceId=self.witness, Name=name
            )
        (volume_id,) = _volumes_of(census, self.witness)
        return f"create-snapshot {volume_id}", lambda: self.ec2.create_snapshot(
            VolumeId=volume_id, Description="witness"
        )

    def _run(self, count: int) -> tuple[str, Operation]:
        token = f"token-{self.round}"
        image_id = self.random.choice([self.tiny_id, *[self.unbootable_id] * 3])
        self.tokens[token] = (count, image_id)
        return f"run {count} {token}", lambda: self._launch(count, token, image_id)

    def _on(self, instance_id: str, census: Census) -> tuple[str, Operation]:
        state = census.instances[instance_id]["State"]["Name"]
        ids = [instance_id]
        name = f"image-{self.round}-{instance_id}"
        volume_ids = _volumes_of(census, instance_id)
        if state == RUNNING:
            # Neither disturbs the guest, so its name does not stand in theirs.
            quiet: list[tuple[str, Operation]] = [
                (
                    f"create-image of-running {name}",
                    lambda: self.ec2.create_image(InstanceId=instance_id, Name=name, NoReboot=True),
                ),
                (
                    f"create-snapshot {volume_ids[0]}",
                    lambda: self.ec2.create_snapshot(VolumeId=volume_ids[0]),
                ),
            ]
            moved = (f"stop {instance_id}", lambda: self.ec2.stop_instances(InstanceIds=ids))
        else:
            quiet = [
                (
                    f"create-image of-stopped {name}",
                    lambda: self.ec2.create_image(InstanceId=instance_id, Name=name),
                )
            ]
            moved = (f"start {instance_id}", lambda: self.ec2.start_instances(InstanceIds=ids))
        ended = (f"terminate {instance_id}", lambda: self.ec2.terminate_instances(InstanceIds=ids))
        return self.random.choice([*quiet, moved, ended])

    def _launch(self, count: int, token: str, image_id: str) -> list[str]:
        answer = self.ec2.run_instances(
            ImageId=image_id,
            InstanceType="t3.nano",
            MinCount=count,
            MaxCount=count,
            ClientToken=token,
            UserData=USER_DATA,
        )
        return [each["InstanceId"] for each in answer["Instances"]]

    def imported(self, name: str, source: Path) -> Any:
        """What the operator's socket answers to an import."""
        request = {
            "verb": "import-image",
            "path": str(source),
            "format": "raw",
            "name": name,
            "description": "",
            "boot_mode": "legacy-bios",
            "account": "default",
            "region": "us-east-1",
        }
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.server.state_dir / "admin.sock"))
            with connection.makefile("rwb") as stream:
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()
                return json.loads(stream.readline() or b'"no answer"')

    # What must be true after

    def settled(self) -> Census:
        """The census when everything has reached an end state."""
        found: list[Census] = []

        def all_ended() -> bool:
            found[:] = [self.census()]
            return not found[0].unsettled()

        try:
            until(all_ended, SETTLE_DEADLINE_S, "everything reaches an end state")
        except AssertionError as late:
            raise AssertionError(f"{late}: {found[0].unsettled()}") from late
        self.say("all has settled")
        return found[0]

    def check_survivors(self, census: Census) -> None:
        """Who ran and was told nothing runs on, in the same process."""
        pids = self.pids()
        for instance_id, pid in self.spared.items():
            instance = census.instances[instance_id]
            assert instance["State"]["Name"] == RUNNING, f"{instance_id}: {instance}"
            assert pids.get(instance_id) == pid, f"{instance_id} ran as {pid}, now {pids}"
        assert set(pids) == set(census.in_state(RUNNING)), "machines are not the running instances"
        assert census.instances[self.witness]["State"]["Name"] == STOPPED

    def check_tokens(self) -> None:
        """A launch repeated with its token gives the instances of the first one, or refuses."""
        for token, (count, image_id) in self.tokens.items():
            with suppress(ClientError):  # its instances have ended meanwhile
                self._launch(count, token, image_id)
        made = Counter(each.get("ClientToken") for each in self.census().instances.values())
        for token, (count, _) in self.tokens.items():
            assert made[token] == count, f"{token} made {made[token]} of {count}"
        self.tokens.clear()

    def make_room(self, census: Census) -> None:
        """End what would be too much for this machine, images and snapshots aside."""
        live = [name for name in census.in_state(RUNNING, STOPPED) if name != self.witness]
        surplus = live[: max(0, len(live) - ALIVE_MAX + 1)]
        if surplus:
            self.ec2.terminate_instances(InstanceIds=surplus)

    def check_host(self) -> None:
        """The bytes are there, and the host is as the catalog says."""
        verified = self.server.openami("store", "verify", check=False)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        examined = self.server.openami("doctor", check=False)
        assert examined.returncode == 0, examined.stdout + examined.stderr

    def end_the_guests(self) -> Census:
        """Terminate all but the witness."""
        live = [name for name in self.census().in_state(RUNNING, STOPPED) if name != self.witness]
        if live:
            self.ec2.terminate_instances(InstanceIds=live)
        return self.settled()

    def check_contents(self, census: Census) -> int:
        """Every available import is its source, and all of the witness is what its disk holds.

        How many snapshots that are. Equal roots have one content: each is written out once.
        """
        expected: dict[str, Path] = {}
        for image in census.images.values():
            if image["Name"].startswith("copy-"):
                assert image["State"] == "available", f"a copy has nothing to fail of: {image}"
            if image["State"] == "available" and image["Name"] in self.imports:
                (mapping,) = image["BlockDeviceMappings"]
                expected[mapping["Ebs"]["SnapshotId"]] = self.imports[image["Name"]]
        (volume_id,) = _volumes_of(census, self.witness)
        disk = self.directory / "witness.raw"
        overlay = self.server.state_dir / "volumes" / volume_id / "disk.qcow2"
        subprocess.run(["qemu-img", "convert", "-O", "raw", overlay, disk], check=True)
        for name, each in census.snapshots.items():
            if each["VolumeId"] == volume_id and each["State"] == "completed":
                expected[name] = disk
        self._compare(expected)
        return len(expected)

    def _compare(self, expected: Mapping[str, Path]) -> None:
        catalog = Catalog.open(self.server.state_dir / "catalog.sqlite")
        with closing(catalog), catalog.read() as tx:
            found = {name: snapshots.fetch_any(tx, SnapshotId(name)) for name in expected}
        roots = {name: snapshot.root for name, snapshot in found.items() if snapshot is not None}
        once = {(roots[name], path): name for name, path in expected.items()}
        exported = self.directory / "exported.raw"
        state_dir = ("--state-dir", str(self.server.state_dir))
        for (_, path), name in once.items():
            # In this process, since starting fifty takes a minute.
            assert main([*state_dir, "store", "export", name, str(exported)]) == 0
            assert _same(exported, path), f"{name} is not {path.name}"
            exported.unlink()

    def leftovers(self) -> Sequence[str]:
        """What is still on the host when nothing should be; the server has been stopped.

        The VPCs' ranges, which stay unreachable on purpose, are given back.
        """
        state = self.server.state_dir
        found = [f"process {each}" for each in host.processes(state)]
        for name in ("volumes", "instances", "ephemeral", "scratch", *STAGES):
            directory = state / name
            there = directory.iterdir() if directory.exists() else iter(())
            found += [str(path) for path in there if path.is_dir()]
        with closing(Catalog.open(state / "catalog.sqlite")) as catalog, catalog.read() as tx:
            its_vpcs = vpcs.every(tx)
        assert its_vpcs
        for vpc in its_vpcs:
            found += [vpc.id] if namespace.exists(vpc.id) else []
            found += [veth_name(vpc.id)] if veth_name(vpc.id) in namespace.interfaces() else []
            routes.release(vpc.cidr)
        return found


def _volumes_of(census: Census, instance_id: str) -> list[str]:
    return [
        mapping["Ebs"]["VolumeId"]
        for mapping in census.instances[instance_id]["BlockDeviceMappings"]
    ]


def _outcome(future: Future[object]) -> str:
    try:
        return str(future.result())[:100]
    except (*CUT_OFF, ValueError) as error:
        return f"{type(error).__name__}: {error}"[:160]


def _same(ours: Path, expected: Path) -> bool:
    """Equal where both have bytes, and zeros beyond the end of the shorter one."""
    with ours.open("rb") as one, expected.open("rb") as other:
        while True:
            left, right = one.read(1 << 20), other.read(1 << 20)
            if not left and not right:
                return True
            size = max(len(left), len(right))
            if left.ljust(size, b"\0") != right.ljust(size, b"\0"):
                return False
