"""openami doctor: hold the host against the catalog, and say what does not match."""

import argparse
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from openami.blockstore.volumes import OVERLAY_NAME
from openami.catalog import images, ingests, instances, migrate, snapshots, volumes
from openami.catalog.catalog import Catalog
from openami.cli.command import open_catalog
from openami.compute.qemu import process
from openami.domain.image import ImageState
from openami.domain.instance import InstanceState
from openami.domain.snapshot import SnapshotState
from openami.domain.volume import VolumeState
from openami.settings import Settings

PROGRAMS: Final = ("qemu-system-x86_64", "qemu-img", "ip", "nft", "setpriv")

Findings = Iterator[str]
Check = Callable[[Settings, Catalog], Findings]


def add_to(verbs: Any) -> None:
    parser = verbs.add_parser(
        "doctor",
        help="compare what the catalog says with what is on this host; 1 if they differ",
        description="Reads only. Every check is named, with 'ok' or what it found. While requests"
        " are being worked on, a finding may be of work that is under way: look again.",
    )
    parser.set_defaults(run=run)


def run(settings: Settings, arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Print one line per check, and the findings below it."""
    catalog = open_catalog(settings)
    ill = 0
    for title, check in CHECKS:
        found = list(check(settings, catalog))
        print(f"{'ok  ' if not found else 'ILL '} {title}")
        for finding in found:
            print(f"       {finding}")
        ill += len(found)
    print(f"{len(CHECKS)} checks, {ill} findings")
    return 1 if ill else 0


def _programs(settings: Settings, catalog: Catalog) -> Findings:  # noqa: ARG001
    for program in PROGRAMS if settings.compute_driver == "qemu" else ():
        if shutil.which(program) is None:
            yield f"{program} is not on the PATH"


def _schema(settings: Settings, catalog: Catalog) -> Findings:  # noqa: ARG001
    yield from (str(difference) for difference in migrate.differences(catalog))


def _pending(settings: Settings, catalog: Catalog) -> Findings:  # noqa: ARG001
    with catalog.read() as tx:
        for image in images.in_state(tx, ImageState.PENDING):
            yield f"{image.id} is pending"
        for snapshot in snapshots.in_state(tx, SnapshotState.PENDING):
            yield f"{snapshot.id} is pending"
        for volume in volumes.in_states(tx, VolumeState.CREATING, VolumeState.DELETING):
            yield f"{volume.id} is {volume.state}"
        moving = (InstanceState.PENDING, InstanceState.STOPPING, InstanceState.SHUTTING_DOWN)
        for instance in instances.in_states(tx, *moving):
            yield f"{instance.id} is {instance.state}"


def _leases(settings: Settings, catalog: Catalog) -> Findings:  # noqa: ARG001
    with catalog.read() as tx:
        for resource_id in ingests.all_active(tx):
            yield f"the ingest of {resource_id} holds a lease"


def _volumes(settings: Settings, catalog: Catalog) -> Findings:
    directory = settings.state_dir / "volumes"
    there = {home.name for home in directory.iterdir() if home.is_dir()}
    with catalog.read() as tx:
        known = volumes.in_states(tx, VolumeState.AVAILABLE, VolumeState.IN_USE)
        expected = {str(volume.id) for volume in known}
        every = {str(volume.id) for volume in volumes.in_states(tx, *VolumeState)}
    for name in sorted(expected):
        if not (directory / name / OVERLAY_NAME).exists():
            yield f"{name} has no disk in {directory}"
    yield from (f"{directory / name} belongs to no volume" for name in sorted(there - every))


def _instances(settings: Settings, catalog: Catalog) -> Findings:
    with catalog.read() as tx:
        live = {str(i.id): i for i in instances.in_states(tx, *InstanceState)}
    for home in _directories(settings.state_dir / "instances"):
        instance = live.get(home.name)
        if instance is None or instance.state is InstanceState.TERMINATED:
            yield f"{home} belongs to no instance"
    for instance_id, instance in live.items():
        if instance.driver != "qemu":
            continue
        runs = process.is_running(settings.state_dir / "instances" / instance_id)
        if instance.state is InstanceState.RUNNING and not runs:
            yield f"{instance_id} is running but has no process"
        if instance.state is InstanceState.STOPPED and runs:
            yield f"{instance_id} is stopped but has a process"


def _processes(settings: Settings, catalog: Catalog) -> Findings:
    with catalog.read() as tx:
        running = {str(i.id) for i in instances.in_states(tx, *InstanceState)}
    for pid, instance_id in process.of_directory(settings.state_dir / "instances"):
        if instance_id not in running:
            yield f"process {pid} runs {instance_id}, which is not in the catalog"


def _scratch(settings: Settings, catalog: Catalog) -> Findings:
    with catalog.read() as tx:
        pending = {str(s.id) for s in snapshots.in_state(tx, SnapshotState.PENDING)}
        pending |= {str(i.id) for i in images.in_state(tx, ImageState.PENDING)}
    for home in _directories(settings.state_dir / "scratch"):
        if home.name not in pending:
            yield f"{home} belongs to nothing that is pending"


def _ephemeral(settings: Settings, catalog: Catalog) -> Findings:
    with catalog.read() as tx:
        running = {str(i.id) for i in instances.in_states(tx, InstanceState.RUNNING)}
    for home in _directories(settings.state_dir / "ephemeral"):
        if home.name not in running:
            yield f"{home} belongs to no running instance"


def _directories(directory: Path) -> Sequence[Path]:
    return sorted(each for each in directory.iterdir() if each.is_dir())


CHECKS: Final[Sequence[tuple[str, Check]]] = (
    ("the programs that machines need are installed", _programs),
    ("the catalog's schema is this version's", _schema),
    ("nothing is on its way from one state to another", _pending),
    ("no ingest of chunks is under way", _leases),
    ("volumes and their disks match", _volumes),
    ("instances and their machines match", _instances),
    ("no machine's process is without an instance", _processes),
    ("no scratch copy is left over", _scratch),
    ("no instance-store disk is left over", _ephemeral),
)
