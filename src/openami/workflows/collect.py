"""Collection: what no disk of a region relies on goes from its store, beside everything else.

Condemn, drain, mark and delete: the order is what makes it safe (docs/storage.md). A round is in
the catalog, so it goes on after a crash where it was; a phase that is done twice does no harm.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Final

from openami.blockstore.guarded import Named, StillDoomed
from openami.blockstore.marking import Needed, needed, prefixes_of
from openami.blockstore.ownership import ForeignStore
from openami.blockstore.store import ChunkLost, Kind, StoreAway, StoreFull
from openami.catalog import ingests
from openami.catalog.catalog import Catalog
from openami.catalog.direct import writings
from openami.catalog.storage import collection, losses
from openami.domain.block import Digest
from openami.domain.collection import Phase, Round
from openami.domain.ids import Region
from openami.jobs.engine import Args, GiveUp, Job
from openami.services import Services
from openami.workflows import region_stores, tenure
from openami.workflows.tenure import Contested

NAME: Final = "collect"
_AT_ONCE: Final = 1000
"""Objects between two transactions: nobody who writes waits long for one."""
_TRUSTED_S: Final = 10.0
"""Within a thousand, too: who was stopped for a while wakes up beside whoever came meanwhile."""
_LISTED_AT_ONCE: Final = 10_000
_WAIT_S: Final = 300.0
_LOOK_EVERY_S: Final = 0.05
_OF_OTHERS: Final = (Contested, ForeignStore)
NOT_NOW: Final = (StoreAway, StoreFull, OSError)
"""What a store may answer that is collected another time."""
_log = logging.getLogger(__name__)


class Ledger:
    """What is condemned in a region, for the writers of its store, and what is lost there."""

    def __init__(self, catalog: Catalog, region: Region, wait_s: float = _WAIT_S) -> None:
        self._catalog, self._region, self._wait_s = catalog, region, wait_s

    def any_condemned(self) -> bool:
        with self._catalog.read() as tx:
            return collection.any_condemned(tx, self._region)

    def spare(self, named: Collection[Named]) -> None:
        """Who asks for what is not condemned, as nearly all do, does not write."""
        with self._catalog.read() as tx:
            found = collection.condemned_among(tx, self._region, named)
        deadline = time.monotonic() + self._wait_s
        while found:
            with self._catalog.begin() as tx:
                collection.spare(tx, self._region, found)
                found = collection.condemned_among(tx, self._region, found)
            if found and time.monotonic() > deadline:
                raise StillDoomed(f"{len(found)} objects of {self._region} are being deleted")
            if found:
                threading.Event().wait(_LOOK_EVERY_S)

    def lost(self, named: Named) -> None:
        with self._catalog.begin() as tx:
            losses.note(tx, self._region, [named])


def resume(svc: Services, region: Region) -> None:
    """Go on with the region's round if one is open, or open one if it is due.

    No part of the sweep: a store on a disk that is away may never answer.
    """
    try:
        _resume(svc, region)
    except NOT_NOW as trouble:
        _log.warning("nothing is collected in %s: %s", region, trouble)
        _reprieve_if_idle(svc, region)
    except _OF_OTHERS as reason:
        _log.error("nothing is collected: %s", reason)
        _reprieve_if_idle(svc, region)


def _resume(svc: Services, region: Region) -> None:
    """After a start each round waits its time: a wrong set-up, or another server, is noticed
    before. Meanwhile only an operator collects; what his round has left is not waited for."""
    tenure.require(svc, region)  # with the setting 0, too: so that another does not collect
    if not tenure.has_lasted(svc, region):
        _reprieve_if_idle(svc, region)
    elif _is_open_or_due(svc, region):
        start(svc, region)


def end_useless_leases(svc: Services) -> None:
    """A round would wait for them for ever. Usually it is their own workflows that end them."""
    with svc.catalog.read() as tx:
        found = ingests.useless(tx)
    for resource_id in found:
        with svc.catalog.begin() as tx:
            if resource_id in ingests.useless(tx):
                ingests.end(tx, resource_id)
                _log.warning("the lease of %s was left over, and has been ended", resource_id)


def _is_open_or_due(svc: Services, region: Region) -> bool:
    """With the setting 0 nothing is collected unasked; but what is doomed has to go."""
    with svc.catalog.read() as tx:
        last = collection.find(tx, region)
        is_waited_for = bool(collection.doomed(tx, region, 1))
    every_s = svc.settings.collect_every_s
    if every_s == 0 or is_waited_for:
        return is_waited_for
    if last is None:
        return True
    if last.phase is not Phase.ENDED:
        return not last.rests(svc.clock.now())
    age = svc.clock.now() - last.began_at
    return not timedelta(0) <= age < timedelta(seconds=every_s)


def start(svc: Services, region: Region) -> None:
    """Let the region's round go on, unless it does."""
    prefix = f"{NAME}:{region}:"
    if not any(job_id.startswith(prefix) for job_id in svc.jobs.active()):
        job_id = f"{prefix}{svc.clock.now().isoformat()}"
        svc.jobs.start(NAME, job_id, {"region": region})


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("collect", lambda args: _collect(svc, args)),),
        give_up=lambda args, reason: _fail(svc, Region(str(args["region"])), reason),
        patience_s=0.0,  # the round rests, which is patience enough
    )


def _fail(svc: Services, region: Region, why: str) -> None:
    """The round rests for a while, and 'openami doctor' tells why."""
    _log.error("collection in %s: %s", region, why)
    with svc.catalog.begin() as tx:
        one = collection.find(tx, region)
        if one is not None and one.phase is not Phase.ENDED:
            collection.save(tx, one.failing(svc.clock.now(), why))


def _collect(svc: Services, args: Args) -> None:
    region = Region(str(args["region"]))
    if not tenure.has_lasted(svc, region):
        return  # it was begun before the server was started again, which looks once more
    try:
        advance(svc, region)
    except ChunkLost as lost:
        raise GiveUp(f"nothing is deleted while a disk is not whole: {lost}") from lost
    except _OF_OTHERS as reason:
        raise GiveUp(str(reason)) from reason


def advance(svc: Services, region: Region) -> Round:
    """Take the region's round, or a new one, as far as it goes without waiting for anybody.

    Raises ChunkLost if a disk of the region is not whole, Contested and ForeignStore if the store
    may be another's: then nothing more is deleted.
    """
    with svc.locks(_lock(region)):
        try:
            return _advanced(svc, region)
        except _OF_OTHERS:
            _reprieve(svc, region)
            raise


def _advanced(svc: Services, region: Region) -> Round:
    tenure.require(svc, region)
    one = _opened(svc, region)
    with svc.locks(f"tiers of {region}"):
        one = _delete_doomed(svc, one)  # what a crash left: somebody may wait for it
    while one.phase is not Phase.ENDED:
        if one.phase is Phase.DRAINING and waits_for(svc, region):
            break
        one = _PHASES[one.phase](svc, one)
    return one


def _reprieve(svc: Services, region: Region) -> None:
    """Nothing is deleted for now, so nobody must wait for it. The caller holds the round."""
    with svc.catalog.begin() as tx:
        collection.reprieve(tx, region)


def _reprieve_if_idle(svc: Services, region: Region) -> None:
    """The same, unless somebody takes the round further."""
    with svc.locks.if_free(_lock(region)) as is_ours:
        if not is_ours:
            return
        with svc.catalog.read() as tx:
            is_waited_for = bool(collection.doomed(tx, region, 1))
        if is_waited_for:
            _reprieve(svc, region)


def is_open(svc: Services, region: Region) -> bool:
    with svc.catalog.read() as tx:
        last = collection.find(tx, region)
    return last is not None and last.phase is not Phase.ENDED


def waits_for(svc: Services, region: Region) -> Sequence[str]:
    """The resources whose ingests have to end before the round goes on."""
    with svc.catalog.read() as tx:
        return collection.awaited(tx, region)


def _opened(svc: Services, region: Region) -> Round:
    with svc.catalog.read() as tx:
        last = collection.find(tx, region)
    if last is not None and last.phase is not Phase.ENDED:
        return last
    tenure.renew(svc, region)
    with svc.catalog.begin() as tx:
        now = svc.clock.now()
        fresh = Round(region=region, began_at=now) if last is None else last.after(now)
        collection.save(tx, fresh)
    return fresh


def _condemn(svc: Services, one: Round) -> Round:
    """A guess, because disks come to need things meanwhile: it is made once more when there is
    nobody left who may not know it."""
    store, mark = svc.stores[one.region], marked(svc, one.region)
    for kind in Kind:
        for part in _portions(store.digests(kind)):
            idle = [(str(kind), digest) for digest in mark.spare(kind, part)]
            with svc.catalog.begin() as tx:
                collection.condemn(tx, one.region, idle)
    with svc.catalog.begin() as tx:
        collection.await_ingests(tx, one.region)
        drained = one.next()
        collection.save(tx, drained)
    return drained


def marked(svc: Services, region: Region) -> Needed:
    """What disks need at this moment. Raises ChunkLost if one is not whole."""
    store = svc.stores[region]
    written = prefixes_of(writings.digests(svc.catalog, region))  # before the roots
    return needed(store, region_stores.relied_on(svc.catalog, svc.volumes, region, store), written)


def _sweep(svc: Services, one: Round) -> Round:
    """Every ingest knows of what is condemned still: what no disk needs of it now goes.

    A thousand at a time are doomed and deleted, so that who needs one of them again does not
    wait long. No chunk moves between a store and its archive meanwhile.
    """
    mark = marked(svc, one.region)
    for part in _condemned(svc, one.region):
        idle = [
            (str(kind), digest)
            for kind, digests in _by_kind(part).items()
            for digest in mark.spare(kind, digests)
        ]
        with svc.locks(f"tiers of {one.region}"):
            tenure.require(svc, one.region)
            with svc.catalog.begin() as tx:
                collection.spare(tx, one.region, set(part).difference(idle))
                collection.doom(tx, one.region, idle)
            one = _delete_doomed(svc, one)
    with svc.catalog.begin() as tx:
        ended = one.next()
        collection.save(tx, ended)
    if ended.freed_objects:
        _log.info(
            "%s: %s objects that no disk needs are gone, %s bytes",
            *(ended.region, ended.freed_objects, ended.freed_bytes),
        )
    return ended


def _delete_doomed(svc: Services, one: Round) -> Round:
    """The objects first: while its row is there, nobody writes one again."""
    while True:
        with svc.catalog.read() as tx:
            part = collection.doomed(tx, one.region, _AT_ONCE)
        if not part:
            return one
        one = one.freeing(len(part), _delete_all(svc, one.region, part))
        with svc.catalog.begin() as tx:
            collection.deleted(tx, one.region, part)
            collection.save(tx, one)


def _delete_all(svc: Services, region: Region, part: Sequence[collection.Named]) -> int:
    """Delete the objects while the store is nobody else's; what they took. In a bucket a thousand
    take minutes."""
    freed_bytes, looked_at = 0, -math.inf
    for kind, digest in part:
        if time.monotonic() - looked_at > _TRUSTED_S:
            tenure.require(svc, region)
            looked_at = time.monotonic()
        freed_bytes += _deleted(svc, region, Kind(kind), digest)
    return freed_bytes


_PHASES: Final[Mapping[Phase, Callable[[Services, Round], Round]]] = {
    Phase.CONDEMNING: _condemn,
    Phase.DRAINING: _sweep,
}


def _deleted(svc: Services, region: Region, kind: Kind, digest: Digest) -> int:
    """Delete an object from the store and its archive; what it took."""
    store, archive = svc.stores[region], svc.archives[region]
    try:
        size_bytes = store.stored_bytes(digest, kind)
    except ChunkLost:
        return 0  # a crash came between its deletion and that of its row
    store.delete(digest, kind)
    archive.delete(digest, kind)
    return size_bytes


def _condemned(svc: Services, region: Region) -> Iterator[list[collection.Named]]:
    after: collection.Named | None = None
    while True:
        with svc.catalog.read() as tx:
            part = collection.condemned_after(tx, region, after, _AT_ONCE)
        if not part:
            return
        yield part
        after = part[-1]


def _by_kind(part: Collection[collection.Named]) -> Mapping[Kind, list[Digest]]:
    return {kind: [digest for each, digest in part if each == kind] for kind in Kind}


def _portions(digests: Iterator[Digest]) -> Iterator[list[Digest]]:
    while part := list(islice(digests, _LISTED_AT_ONCE)):
        yield part


def _lock(region: Region) -> str:
    """Of who takes a round further."""
    return f"collection of {region}"
