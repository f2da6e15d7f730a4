"""openami doctor tells of everything on the host that the catalog does not know, and back."""

import argparse
import contextlib
import os
import subprocess
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openami.blockstore.codec import digest_of
from openami.catalog import images, ingests, instances, migrate, snapshots, volumes, vpcs
from openami.catalog.catalog import Catalog, Transaction
from openami.catalog.storage import collection, losses
from openami.cli import doctor, init
from openami.domain.collection import Round
from openami.domain.image import ImageState
from openami.domain.instance import InstanceState
from openami.domain.network import Subnet, Vpc
from openami.domain.volume import AttachmentState, VolumeState
from openami.settings import Settings
from support.builders import (
    ALICE,
    EPOCH,
    HERE,
    INSTANCE,
    SNAPSHOT,
    VOLUME,
    ZONE,
    a_pending_snapshot,
    a_volume,
    an_attached_volume,
    an_attachment,
    an_image,
    an_instance,
)

STRAY_INSTANCE = "i-000000000000000ff"
STRAY_VOLUME = "vol-000000000000000ff"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A state directory as `openami init` leaves it."""
    settings = Settings(state_dir=tmp_path / "state", compute_driver="record")
    init.make_state_directory(settings).close()
    return settings


@pytest.fixture
def catalog(settings: Settings) -> Generator[Catalog]:
    with contextlib.closing(Catalog.open(settings.state_dir / "catalog.sqlite")) as catalog:
        yield catalog


def findings(settings: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    """What doctor says is ill, and a check that its exit code says so, too."""
    code = doctor.run(settings, argparse.Namespace())
    told = [line.strip() for line in capsys.readouterr().out.splitlines()]
    ill = [line for line in told if not line.startswith(("ok ", "ILL ")) and "checks," not in line]
    assert code == (1 if ill else 0)
    return "\n".join(ill)


def test_a_fresh_state_directory_is_well(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert findings(settings, capsys) == ""


def test_a_running_instance_with_its_disk_is_well(
    settings: Settings, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    with catalog.begin() as tx:
        instances.add(tx, an_instance())
        volumes.add(tx, an_attached_volume())
    disk_of(settings, VOLUME)
    assert findings(settings, capsys) == ""


def test_a_known_loss_is_told(
    settings: Settings, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    with catalog.begin() as tx:
        losses.note(tx, HERE, [("c", digest_of(b"gone"))])
    assert "1 objects or more are lost" in findings(settings, capsys)


@pytest.mark.parametrize(
    ("directory", "told"),
    [
        (f"volumes/{STRAY_VOLUME}", "belongs to no volume"),
        (f"instances/{STRAY_INSTANCE}", "belongs to no instance"),
        (f"ephemeral/{STRAY_INSTANCE}", "belongs to no instance that runs"),
        (f"scratch/{SNAPSHOT}", "belongs to nothing that is being filled"),
        ("chunks/stage/draft", "is a draft that nobody writes"),
    ],
)
def test_a_directory_that_a_crash_left_is_told(
    settings: Settings, capsys: pytest.CaptureFixture[str], directory: str, told: str
) -> None:
    (settings.state_dir / directory).mkdir(parents=True)
    assert findings(settings, capsys) == f"{settings.state_dir / directory} {told}"


Plant = Callable[[Any], None]


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (
            lambda tx: snapshots.add(tx, a_pending_snapshot()),
            f"{SNAPSHOT} is pending",
        ),
        (
            lambda tx: images.add(tx, an_image(state=ImageState.PENDING)),
            f"{an_image().id} is pending",
        ),
        (
            lambda tx: volumes.add(tx, a_volume(state=VolumeState.DELETING)),
            f"{VOLUME} is deleting",
        ),
        (
            lambda tx: instances.add(tx, an_instance(state=InstanceState.STOPPING)),
            f"{INSTANCE} is stopping",
        ),
        (
            lambda tx: instances.add(tx, an_instance(rebooting_for="RebootInstances")),
            f"{INSTANCE} restarts for RebootInstances",
        ),
        (
            lambda tx: ingests.begin(tx, SNAPSHOT, HERE, EPOCH),
            f"{SNAPSHOT} holds a lease and is not being filled",
        ),
        (
            lambda tx: collection.save(
                tx, Round(region=HERE, began_at=EPOCH).failing(EPOCH, "c/ab is missing")
            ),
            f"nothing is collected in {HERE} (tried 1 times, last at {EPOCH:%Y-%m-%d %H:%M}):"
            " c/ab is missing",
        ),
        (
            lambda tx: volumes.add(tx, a_volume()),
            f"{VOLUME} has no disk on this host",
        ),
        (
            lambda tx: instances.add(tx, an_instance(driver="qemu")),
            f"{INSTANCE} is running and has no process",
        ),
    ],
)
def test_a_row_that_the_host_does_not_bear_out_is_told(
    settings: Settings,
    catalog: Catalog,
    capsys: pytest.CaptureFixture[str],
    plant: Plant,
    told: str,
) -> None:
    with catalog.begin() as tx:
        a_network(tx)
        plant(tx)
    assert findings(settings, capsys) == told


def test_an_attachment_on_its_way_is_told(
    settings: Settings, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    with catalog.begin() as tx:
        instances.add(tx, an_instance())
        leaving = an_attachment(state=AttachmentState.DETACHING)
        volumes.add(tx, an_attached_volume(attachment=leaving))
    disk_of(settings, VOLUME)
    assert findings(settings, capsys) == f"{VOLUME} is detaching at {INSTANCE}"


def test_a_volume_of_an_instance_that_is_gone_is_told(
    settings: Settings, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    with catalog.begin() as tx:
        instances.add(tx, an_instance(state=InstanceState.TERMINATED, port_number=None))
        volumes.add(tx, an_attached_volume())
    disk_of(settings, VOLUME)
    assert findings(settings, capsys) == (f"{VOLUME} is attached to {INSTANCE}, which is not there")


def test_a_process_that_nobody_asked_for_is_told(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with a_process_named(settings, STRAY_INSTANCE) as pid:
        assert findings(settings, capsys) == (
            f"process {pid} runs {STRAY_INSTANCE}, which is not in the catalog"
        )


def test_a_process_of_another_state_directory_is_not_ours_to_tell(
    settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    elsewhere = replace(settings, state_dir=tmp_path / "elsewhere")
    with a_process_named(elsewhere, STRAY_INSTANCE):
        assert findings(settings, capsys) == ""


def test_a_machine_that_waits_for_its_disk_is_told_while_it_has_a_process(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = settings.state_dir / "instances" / STRAY_INSTANCE / "stalled"
    with a_process_named(settings, STRAY_INSTANCE):
        mark.parent.mkdir(parents=True)
        mark.write_text("vol-1 No space left on device\n")
        told = f"{STRAY_INSTANCE} waits for a disk: "
        assert f"{told}vol-1 No space left on device" in findings(settings, capsys)
        mark.write_text("")
        assert f"{told}the host's disk has no room" in findings(settings, capsys)
    assert "waits for a disk" not in findings(settings, capsys)


def test_files_of_a_guest_that_stay_frozen_are_told_and_a_copy_s_moment_is_not(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = settings.state_dir / "instances" / STRAY_INSTANCE / "frozen"
    with a_process_named(settings, STRAY_INSTANCE):
        mark.parent.mkdir(parents=True)
        mark.touch()
        day_s = 86400
        os.utime(mark, (mark.stat().st_atime, mark.stat().st_mtime + day_s))
        assert "may be frozen" not in findings(settings, capsys)
        os.utime(mark, (mark.stat().st_atime, mark.stat().st_mtime - 2 * day_s))
        assert f"files of {STRAY_INSTANCE}'s guest may be frozen" in findings(settings, capsys)


def test_a_program_that_is_missing_is_told(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with_machines = replace(settings, compute_driver="qemu")
    assert "qemu-img is not on the PATH" in findings(with_machines, capsys)


def test_a_catalog_of_another_version_is_told_and_left_as_it_is(
    settings: Settings, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    with catalog.begin() as tx:
        tx.exec_driver_sql("DROP TABLE tag")
    assert "tag" in findings(settings, capsys)
    assert migrate.differences(catalog)


def a_network(tx: Transaction) -> None:
    """The VPC and the subnet of the builders' instance."""
    own = {"region": HERE, "owner": ALICE, "vpc_id": an_instance().vpc_id}
    subnet = Subnet(id=an_instance().subnet_id, availability_zone=ZONE, cidr="10.112.0.0/24", **own)
    vpc = Vpc(id=an_instance().vpc_id, region=HERE, owner=ALICE, cidr="10.112.0.0/20")
    vpcs.add(tx, vpc, [subnet])


def disk_of(settings: Settings, volume_id: str) -> None:
    (settings.state_dir / "volumes" / volume_id).mkdir()


@contextlib.contextmanager
def a_process_named(settings: Settings, instance_id: str) -> Generator[int]:
    """Something that looks like a machine: its name, and a file of the state directory open."""
    directory = settings.state_dir / "elsewhere"
    directory.mkdir(parents=True)
    with (directory / "console.log").open("wb") as console:
        process = subprocess.Popen(
            ["sh", "-c", "read _", "-name", f"guest={instance_id},debug-threads=on"],
            stdin=subprocess.PIPE,
            stdout=console,
        )
    with process:  # its end of the pipe closes, and it ends
        yield process.pid
