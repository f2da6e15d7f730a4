"""openami doctor: hold the host against the catalog, and say what does not match."""

import argparse
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from openami.blockstore.regional import Place
from openami.catalog import images, ingests, instances, migrate, snapshots, volumes, vpcs
from openami.catalog.catalog import Catalog
from openami.catalog.storage import collection, losses, tenures
from openami.cli import blocks, host
from openami.cli.command import catalog_as_it_is
from openami.compute.driver import MachineFailed, Port
from openami.domain.collection import Round
from openami.domain.ids import InstanceId, Region, VolumeId
from openami.domain.instance import Instance, InstanceState
from openami.domain.network import Vpc
from openami.domain.volume import Volume, VolumeState
from openami.nbd.client import Export
from openami.nbd.process import directory_of
from openami.nbd.written import written
from openami.real import RealClock
from openami.settings import Settings
from openami.workflows import machines, region_stores

PROGRAMS: Final = ("qemu-system-x86_64", "qemu-img", "ip", "nft", "setpriv")

S, V = InstanceState, VolumeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything of one moment that the checks compare: the catalog's rows, the host's things."""

    at: datetime
    settings: Settings
    stores: Sequence[Place]
    strange_stores: Sequence[str]
    pending: Sequence[str]
    leases: Sequence[str]
    useless_leases: Sequence[str]
    failing: Sequence[Round]
    losses: Mapping[Region, int]
    disputed: Sequence[Region]
    filling: frozenset[str]
    instances: Mapping[InstanceId, Instance]
    volumes: Mapping[VolumeId, Volume]
    vpcs: Sequence[Vpc]
    ports: Sequence[Port]
    processes: Sequence[host.MachineProcess]
    offered: Mapping[str, Export]

    def of(self, *states: InstanceState) -> set[str]:
        return {each.id for each in self.instances.values() if each.state in states}


Check = Callable[[Seen], Iterator[str]]


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reads only. Every check is named, with 'ok' or what it found. While requests"
        " are being worked on, a finding may be of work that is under way: look again."
    )
    parser.set_defaults(run=run)


def run(settings: Settings, arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Print one line per check, and the findings below it; 1 if there are any."""
    with closing(catalog_as_it_is(settings)) as catalog:
        ill = _told("the catalog's schema is this version's", _schema(catalog))
        if ill:
            print("the other checks need 'openami serve' to bring the catalog up to date first")
            return 1
        seen = look(settings, catalog)
    for title, check in CHECKS:
        ill += _told(title, check(seen))
    print(f"{len(CHECKS) + 1} checks, {ill} findings")
    return 1 if ill else 0


def _told(title: str, findings: Iterator[str]) -> int:
    found = list(findings)
    print(f"{'ILL' if found else 'ok '} {title}")
    for finding in found:
        print(f"      {finding}")
    return len(found)


def look(settings: Settings, catalog: Catalog) -> Seen:
    """The host first: what is made meanwhile has its row before its files and process."""
    processes = tuple(host.processes(settings.state_dir))
    offered = written(directory_of(settings))
    stores = tuple(region_stores.places(settings, catalog).values())
    strange_stores = tuple(region_stores.strange(settings, catalog))
    with catalog.read() as tx:
        its_instances = instances.in_state(tx, *S)
        its_volumes = volumes.in_state(tx, *V)
        filling = [*images.pending(tx), *snapshots.pending(tx)]
        pending = [f"{each.id} is {each.state}" for each in filling]
        return Seen(
            at=RealClock().now(),
            settings=settings,
            stores=stores,
            strange_stores=strange_stores,
            pending=[*pending, *_moving(its_instances, its_volumes)],
            leases=ingests.all_active(tx),
            useless_leases=ingests.useless(tx),
            failing=collection.failing(tx),
            losses=losses.regions(tx),
            disputed=tenures.disputed(tx),
            filling=frozenset({*(str(each.id) for each in filling), *_creating(its_volumes)}),
            instances={each.id: each for each in its_instances},
            volumes={each.id: each for each in its_volumes},
            vpcs=vpcs.every(tx),
            ports=[
                machines.port_of(tx, each)
                for each in its_instances
                if each.driver == "qemu" and each.state in instances.LIVE
            ],
            processes=processes,
            offered=offered,
        )


def _creating(its_volumes: Sequence[Volume]) -> Iterator[str]:
    yield from (volume.id for volume in its_volumes if volume.state is V.CREATING)


def _moving(its_instances: Sequence[Instance], its_volumes: Sequence[Volume]) -> Iterator[str]:
    for instance in its_instances:
        if instance.state in (S.PENDING, S.STOPPING, S.SHUTTING_DOWN):
            yield f"{instance.id} is {instance.state}"
        if instance.rebooting_for is not None:
            yield f"{instance.id} restarts for {instance.rebooting_for}"
    for volume in its_volumes:
        if volume.state in (V.CREATING, V.DELETING):
            yield f"{volume.id} is {volume.state}"
        elif volume.attachment is not None and volume.attachment.state != "attached":
            yield f"{volume.id} is {volume.attachment.state} at {volume.attachment.instance_id}"


def _schema(catalog: Catalog) -> Iterator[str]:
    yield from (str(difference) for difference in migrate.differences(catalog))


def _programs(seen: Seen) -> Iterator[str]:
    for program in PROGRAMS if seen.settings.compute_driver == "qemu" else ():
        if shutil.which(program) is None:
            yield f"{program} is not on the PATH"


def _pending(seen: Seen) -> Iterator[str]:
    yield from seen.pending


def _leases(seen: Seen) -> Iterator[str]:
    for resource_id in seen.useless_leases:
        yield f"{resource_id} holds a lease and is not being filled"


def _collection(seen: Seen) -> Iterator[str]:
    for each in seen.failing:
        yield (
            f"nothing is collected in {each.region} (tried {each.failures} times, last at"
            f" {each.failed_at:%Y-%m-%d %H:%M}): {each.failure}"
        )


def _tenures(seen: Seen) -> Iterator[str]:
    for region in seen.disputed:
        yield (
            f"{region}: another server has worked on the store with a copy of this catalog, or the"
            " catalog is older than the store; see 'openami store settle'"
        )


def _losses(seen: Seen) -> Iterator[str]:
    for region, count in seen.losses.items():
        yield (
            f"{region}: {count} objects or more are lost. Until 'openami store verify --repair'"
            " finds all there, snapshots of running volumes copy all that was written to them"
        )


def _volumes(seen: Seen) -> Iterator[str]:
    homes = _directories(seen.settings.state_dir / "volumes")
    for volume in seen.volumes.values():
        if volume.state in (V.AVAILABLE, V.IN_USE) and volume.id not in homes:
            yield f"{volume.id} has no disk on this host"
    for name, home in homes.items():
        if name not in seen.volumes:
            yield f"{home} belongs to no volume"


def _attachments(seen: Seen) -> Iterator[str]:
    there = seen.of(*S) - seen.of(S.TERMINATED)
    for volume in seen.volumes.values():
        its = volume.attachment
        if its is not None and its.instance_id not in there:
            yield f"{volume.id} is attached to {its.instance_id}, which is not there"


def _instances(seen: Seen) -> Iterator[str]:
    there = seen.of(*S) - seen.of(S.TERMINATED)
    for name, home in _directories(seen.settings.state_dir / "instances").items():
        if name not in there:
            yield f"{home} belongs to no instance"
    run_now = {each.instance_id for each in seen.processes}
    for instance in seen.instances.values():
        if instance.driver == "qemu" and instance.id not in run_now and _should_run(instance):
            yield f"{instance.id} is running and has no process"


def _should_run(instance: Instance) -> bool:
    return instance.state is S.RUNNING and instance.rebooting_for is None


def _stalls(seen: Seen) -> Iterator[str]:
    for each in seen.processes:
        for why in host.stalls(seen.settings.state_dir, each.instance_id):
            yield f"{each.instance_id} waits for a disk: {why}"


def _frozen(seen: Seen) -> Iterator[str]:
    for each in seen.processes:
        if host.is_frozen(seen.settings.state_dir, each.instance_id, seen.at):
            yield f"files of {each.instance_id}'s guest may be frozen: its agent does not thaw them"


def _processes(seen: Seen) -> Iterator[str]:
    wanted = seen.of(*instances.LIVE)
    twice: set[str] = set()
    for each in seen.processes:
        if each.instance_id not in wanted:
            state = seen.instances.get(InstanceId(each.instance_id))
            what = f"is {state.state}" if state else "is not in the catalog"
            yield f"process {each.pid} runs {each.instance_id}, which {what}"
        elif each.instance_id in twice:
            yield f"process {each.pid} is one more of {each.instance_id}"
        twice.add(each.instance_id)


def _network(seen: Seen) -> Iterator[str]:
    if seen.settings.compute_driver != "qemu":
        return  # machines that are only records have no network
    try:
        for command in host.network_leftovers(seen.vpcs, seen.ports):
            yield f"to be removed: {command}"
    except MachineFailed as failed:
        yield f"cannot be looked at: {failed}"


def _scratch(seen: Seen) -> Iterator[str]:
    yield from _homeless(seen, "scratch", seen.filling, "nothing that is being filled")


def _ephemeral(seen: Seen) -> Iterator[str]:
    yield from _homeless(seen, "ephemeral", seen.of(*instances.LIVE), "no instance that runs")


def _drafts(seen: Seen) -> Iterator[str]:
    """What a killed writer left; the server's start removes it, so with no writer it is ill.

    In a bucket nothing is staged.
    """
    directories = (place for place in seen.stores if isinstance(place, Path))
    for store in () if seen.leases else directories:
        for stage in _directories(store / "stage").values():
            yield f"{stage} is a draft that nobody writes"


def _stores(seen: Seen) -> Iterator[str]:
    yield from seen.strange_stores


def _block_daemon(seen: Seen) -> Iterator[str]:
    live = seen.of(*instances.LIVE)
    read = [
        volume.id
        for volume in seen.volumes.values()
        if volume.attachment is not None and volume.attachment.instance_id in live
    ]
    yield from blocks.findings(seen.settings, seen.offered, read)


def _homeless(seen: Seen, name: str, owners: set[str] | frozenset[str], none: str) -> Iterator[str]:
    for owner, home in _directories(seen.settings.state_dir / name).items():
        if owner not in owners:
            yield f"{home} belongs to {none}"


def _directories(directory: Path) -> Mapping[str, Path]:
    if not directory.exists():
        return {}
    return {each.name: each for each in sorted(directory.iterdir()) if each.is_dir()}


CHECKS: Final[Sequence[tuple[str, Check]]] = (
    ("the programs that machines need are installed", _programs),
    ("nothing is on its way from one state to another", _pending),
    ("no lease outlives its ingest", _leases),
    ("what no disk relies on is collected", _collection),
    ("no other server works on the regions' stores", _tenures),
    ("nothing that was stored is known to be lost", _losses),
    ("volumes and their disks match", _volumes),
    ("volumes are attached to instances that are there", _attachments),
    ("instances and their machines match", _instances),
    ("no machine's process is without an instance", _processes),
    ("no machine waits for its disks", _stalls),
    ("no guest's files stay frozen", _frozen),
    ("nothing is left in the host's network", _network),
    ("disks that are not here yet are served and come", _block_daemon),
    ("no scratch copy is left over", _scratch),
    ("no instance-store disk is left over", _ephemeral),
    ("no draft of chunks is left over", _drafts),
    ("the regions' stores answer and are this catalog's", _stores),
)
