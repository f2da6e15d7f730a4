"""How far a pending snapshot is, told to the catalog while its bytes are moved."""

from openami.blockstore.parallel import Progress
from openami.catalog import snapshots
from openami.domain.snapshot import Snapshot
from openami.services import Services


def progress_of(svc: Services, snapshot: Snapshot) -> Progress:
    """Writes each whole percent beyond what was told before, up to 99: the last one is the
    completion's."""
    told = snapshot.progress_percent

    def tell(done_bytes: int, total_bytes: int) -> None:
        nonlocal told
        percent = min(99, done_bytes * 100 // max(1, total_bytes))
        if percent > told:
            told = percent
            with svc.catalog.begin() as tx:
                snapshots.save_progress(tx, snapshot.id, percent)

    return tell
