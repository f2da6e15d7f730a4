"""Nobody collects a store in which another server is at work, on a copy of the same catalog.

To the store, a catalog and its copy are one. So who collects writes a new word beside the store's
owner, the epoch, at each start and with each round, and looks before he deletes whether it is his
still. If it is not, somebody wrote there who does not know what this catalog knows, or the catalog
is an old one: the store is disputed, which is written there for both to see, and neither of them
collects until an operator says whose it is. A server that starts waits for as long as one round
follows another before it collects unasked, and each looks every minute: so who was there before
has seen that another came, and has disputed it, before that one deletes anything.

A store without room for the word is collected nevertheless, because that is what makes room; the
word is written with the first look that finds some.

The tenure of a store that is away when the server starts begins when the store has come, with all
that goes with a start: until then it is neither used nor collected (blockstore/awaited.py).

What is written, in this order: the next epoch into the catalog, then into the store, then, as the
one that counts, into the catalog. Whatever dies between two of these finds one of its own there.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from openami.blockstore.ownership import Claim, OwnerRecord
from openami.blockstore.store import StoreFull
from openami.catalog.storage import collection, tenures
from openami.domain.collection import Tenure
from openami.domain.ids import Region
from openami.services import Services

_log = logging.getLogger(__name__)


class Contested(Exception):
    """Another server has been at work in the store; the message says where and what to do."""


def begin(svc: Services, region: Region) -> None:
    """A server has started, or the store has come. Before any job uses it: what a former process
    was about to delete is condemned again, and no more, because what it knew may be of another
    catalog's past.

    Raises ForeignStore, StoreAway; not Contested, because all but collection may go on.
    """
    with svc.locks(_lock(region)):
        with svc.catalog.begin() as tx:
            collection.reprieve(tx, region)
            before = tenures.find(tx, region) or Tenure(region=region, since=svc.clock.now())
            tenures.save(tx, replace(before, since=svc.clock.now()))
        try:
            _renew(svc, region)
        except Contested as contested:
            _log.error("%s", contested)


def await_begun(svc: Services, region: Region) -> None:
    """Raises StoreAway while the store has not come. Before any lock is taken that `begin` takes:
    it may be this that begins the tenure."""
    arrival = svc.arrivals.get(region)
    if arrival is not None:
        arrival.require()


def require(svc: Services, region: Region) -> None:
    """Return if this catalog alone has collected the region's store since it last looked. An epoch
    that is on its way there still, because there was no room for it, is written.

    Raises Contested, ForeignStore if the store is not there or is another one, StoreAway, OSError.
    """
    await_begun(svc, region)
    with svc.locks(_lock(region)):
        found = _required(svc, region)
        known = _known(svc, region)
        if known.next_epoch is not None:
            _write_if_there_is_room(svc, replace(known, epoch=found))


def renew(svc: Services, region: Region) -> None:
    """The same, and from now on a copy of the catalog that was made before is out of date."""
    await_begun(svc, region)
    with svc.locks(_lock(region)):
        _renew(svc, region)


def settle(svc: Services, region: Region) -> None:
    """An operator says that no other catalog relies on the store. Raises ForeignStore, StoreAway,
    StoreFull.

    If one does nevertheless, its server disputes it again within a minute.
    """
    await_begun(svc, region)
    with svc.locks(_lock(region)):
        record = _record(_present(svc, region))
        known = replace(_known(svc, region), epoch=record.epoch(), since=svc.clock.now())
        _write(svc, known)
        record.end_dispute()
        with svc.catalog.begin() as tx:
            known = tenures.find(tx, region) or known
            tenures.save(tx, replace(known, is_disputed=False))


def has_lasted(svc: Services, region: Region) -> bool:
    """Whether the server has had the store for long enough to collect unasked. Raises StoreAway."""
    await_begun(svc, region)
    since, now = _known(svc, region).since, svc.clock.now()
    if now < since:  # the clock was set back: how long it has been nobody knows
        since = now
        with svc.catalog.begin() as tx:
            known = tenures.find(tx, region) or Tenure(region=region, since=now)
            tenures.save(tx, replace(known, since=now))
    return now - since >= timedelta(seconds=svc.settings.collect_every_s)


def _renew(svc: Services, region: Region) -> None:
    found = _required(svc, region)
    _write_if_there_is_room(svc, replace(_known(svc, region), epoch=found))


def _required(svc: Services, region: Region) -> str | None:
    """The epoch that the store has, which is one of this catalog's."""
    record, known = _record(_present(svc, region)), _known(svc, region)
    found = record.epoch()
    if known.is_of(found) and not record.is_disputed():
        return found
    if not known.is_disputed:
        with svc.catalog.begin() as tx:
            tenures.save(tx, replace(known, is_disputed=True))
    try:
        record.dispute()
    except StoreFull as full:  # this server collects nothing all the same; each look tries again
        _log.error("%s: the dispute is not written down: %s", region, full)
    raise Contested(
        f"{region}: another server has worked on the store of {record.where} with a copy of this"
        " catalog, or this catalog is older than the store. Nothing is collected there. If no other"
        " server relies on it, run 'openami store verify', then 'openami store settle'"
    )


def _write_if_there_is_room(svc: Services, known: Tenure) -> None:
    """Without room the epoch that was found stays, and the next one is known to be wanted."""
    try:
        _write(svc, known)
    except StoreFull as full:
        _log.warning("%s: the store's epoch stays until there is room: %s", known.region, full)


def _write(svc: Services, known: Tenure) -> None:
    record = _record(svc.claims[known.region])
    fresh = svc.ids.new("epoch")
    with svc.catalog.begin() as tx:
        tenures.save(tx, replace(known, next_epoch=fresh))
    record.set_epoch(fresh)
    with svc.catalog.begin() as tx:
        tenures.save(tx, replace(known, epoch=fresh, next_epoch=None))


def _present(svc: Services, region: Region) -> Sequence[Claim]:
    """The owners' records are read anew: another disk may have been mounted meanwhile."""
    claims = svc.claims[region]
    for claim in claims:
        claim.require()
    return claims


def _record(claims: Sequence[Claim]) -> OwnerRecord:
    """The store's own; its archive belongs to whom the store does."""
    return claims[0].record


def _known(svc: Services, region: Region) -> Tenure:
    with svc.catalog.read() as tx:
        found = tenures.find(tx, region)
    if found is None:
        found = Tenure(region=region, since=svc.clock.now())
        with svc.catalog.begin() as tx:
            tenures.save(tx, found)
    return found


def _lock(region: Region) -> str:
    return f"tenure of {region}"
