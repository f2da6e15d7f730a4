"""The services that actions and workflows are handed, and never make for themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Final

from openami.blockstore.awaited import Arrival
from openami.blockstore.looks import Looks
from openami.blockstore.ownership import Claim
from openami.blockstore.store import ChunkStore
from openami.blockstore.volumes import VolumeHost
from openami.catalog.catalog import Catalog
from openami.compute.driver import ComputeDriver
from openami.domain.ids import Clock, Ids, InstanceId, Region
from openami.domain.limits.throttle import Throttle
from openami.jobs.engine import Engine
from openami.jobs.locks import KeyedLocks
from openami.jobs.room import Room
from openami.jobs.turns import Turns
from openami.nbd.client import BlockDaemon
from openami.objects.in_use import BucketsInUse
from openami.objects.store import ObjectStore
from openami.settings import Settings

_EVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything with an effect. app.py builds the real one, tests build theirs from fakes."""

    settings: Settings
    catalog: Catalog
    stores: Mapping[Region, ChunkStore]
    """A resource's bytes are in the store of its region; no region relies on another's."""
    archives: Mapping[Region, ChunkStore]
    """Where a region's store has the chunks of archived snapshots; it reads them from there."""
    claims: Mapping[Region, Sequence[Claim]]
    """Whose a region's store is, and its archive, as it is written there: the store first."""
    volumes: VolumeHost
    compute: ComputeDriver
    objects: ObjectStore
    jobs: Engine
    locks: KeyedLocks
    clock: Clock
    ids: Ids
    arrivals: Mapping[Region, Arrival] = field(default_factory=dict[Region, Arrival])
    """Of the stores on other hosts, which may be away when the server starts. The stores look by
    themselves; who goes to their claims looks here before."""
    room: Room = field(default_factory=Room)
    """Of the filesystems of `<state_dir>/scratch` and of the stores."""
    blocks: BlockDaemon | None = None
    """Serves disks that are not on this host yet; without it they are restored first."""
    direct_turns: Turns = field(default_factory=Turns)
    """Of the requests that read and write blocks."""
    serving_since: datetime = _EVER
    """Before it nobody could ask for anything."""
    looks: Looks = field(default_factory=Looks)
    """What was found to be whole, of every region."""
    buckets: BucketsInUse = field(default_factory=BucketsInUse)
    throttle: Throttle = field(default_factory=lambda: Throttle(Lock()))
    stale_ports: set[InstanceId] = field(default_factory=set[InstanceId])
    """Machines whose firewall could not be made what the catalog says; the sweep tries again.

    Not kept: a server that starts writes the rules of all machines anew.
    """
