"""What is wrong with the block daemon of a state directory, as `openami doctor` tells it."""

from collections.abc import Collection, Iterator

from openami.nbd import process
from openami.nbd.client import Daemon, DaemonAway
from openami.nbd.exports import written
from openami.settings import Settings

_ANSWER_TIMEOUT_S = 2.0


def findings(settings: Settings, volume_ids: Collection[str]) -> Iterator[str]:
    """Disks that wait for a daemon, that belong to nobody, or that do not come."""
    directory = process.directory_of(settings)
    offered = written(directory)
    for name in offered.keys() - set(volume_ids):
        yield f"{name} is served and is no volume"
    if not offered:
        return
    if not process.is_running(settings):
        yield f"{len(offered)} disks wait for a block daemon and none runs"
        return
    daemon = Daemon(directory, timeout_s=_ANSWER_TIMEOUT_S)
    try:
        yield from (f"{name} is not served" for name in offered.keys() - daemon.exports().keys())
        for name, export in offered.items():
            trouble = daemon.hydration(export.region, export.root).trouble
            if trouble:
                yield f"{name} does not come to this host: {trouble}"
    except DaemonAway as away:
        yield str(away)
