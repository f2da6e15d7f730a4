"""What is wrong with the block daemon of a state directory, as `openami doctor` tells it."""

import time
from collections.abc import Collection, Iterator, Mapping, Set
from pathlib import Path
from typing import Final

from openami.nbd import process
from openami.nbd.client import Daemon, DaemonAway, Export
from openami.nbd.written import written
from openami.settings import Settings
from openami.workflows.cold_disks import TEND_EVERY_S

ENDING_S: Final = 5 * TEND_EVERY_S
"""What a machine read that has just ended may be offered a moment longer."""
_ANSWER_TIMEOUT_S: Final = 2.0
_LOOK_EVERY_S: Final = 0.2


def findings(
    settings: Settings, offered: Mapping[str, Export], read: Collection[str]
) -> Iterator[str]:
    """Of what is offered: disks that wait for a daemon, that do not come, or that are not among
    the volumes `read`, those that a machine may read."""
    directory = process.directory_of(settings)
    for name in _staying(directory, offered.keys() - set(read)):
        yield f"{name} is served, and no machine may read it"
    waiting = {name: each for name, each in offered.items() if name in written(directory)}
    if not waiting:
        return
    if not process.is_running(settings):
        yield f"{len(waiting)} disks wait for a block daemon and none runs"
        return
    daemon = Daemon(directory, timeout_s=_ANSWER_TIMEOUT_S)
    try:
        for name, export in waiting.items():
            trouble = daemon.hydration(export.region, export.root).trouble
            if trouble:
                yield f"{name} does not come to this host: {trouble}"
    except DaemonAway as away:
        yield str(away)


def _staying(directory: Path, names: Set[str]) -> Set[str]:
    deadline = time.monotonic() + ENDING_S
    while (names := names & written(directory).keys()) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
    return names
