"""The host's cache of bases stays within its limit: what nobody uses goes, oldest use first."""

import logging
from typing import Final

from openami.catalog import fast_restores
from openami.domain.block import GIB
from openami.domain.manifest import Root
from openami.services import Services

_log: Final = logging.getLogger(__name__)


def resume(svc: Services) -> None:
    """Evict what is too much. What volumes and fast restores need stays, however much it is."""
    limit_gib = svc.settings.cache_gib_max
    if limit_gib == 0:
        return
    with svc.catalog.read() as tx:
        wanted = {Root.from_text(text) for text in fast_restores.every_root(tx)}
    freed_bytes = svc.volumes.evict(wanted, int(limit_gib * GIB))
    if freed_bytes:
        _log.info("%s bytes of bases that nobody uses are gone from the cache", freed_bytes)
