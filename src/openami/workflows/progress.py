"""How far a task is, told to the catalog while its bytes are moved."""

from collections.abc import Callable

from openami.blockstore.parallel import Progress
from openami.catalog import snapshots
from openami.domain.snapshot import Snapshot
from openami.services import Services


def progress_of(svc: Services, snapshot: Snapshot) -> Progress:
    """How far a pending snapshot is."""

    def tell(percent: int) -> None:
        with svc.catalog.begin() as tx:
            snapshots.save_progress(tx, snapshot.id, percent)

    return whole_percents(tell, snapshot.progress_percent)


def whole_percents(tell: Callable[[int], None], told: int = 0) -> Progress:
    """Tells each whole percent beyond what was `told` before, up to 99: the last is the
    completion's."""

    def progress(done_bytes: int, total_bytes: int) -> None:
        nonlocal told
        percent = min(99, done_bytes * 100 // max(1, total_bytes))
        if percent > told:
            told = percent
            tell(percent)

    return progress
