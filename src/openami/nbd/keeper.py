"""A server's block daemon: had to run while it is wanted, or while machines may still read from it.

Machines are started before their disks are here where the setting `block_daemon` is "on". It may
be turned off while some of them read from the daemon: then that serves them until they do not.
"""

from collections.abc import Mapping
from typing import Final

from openami.blockstore.regional import Place
from openami.domain.ids import Region
from openami.nbd import process, written
from openami.nbd.client import Daemon
from openami.nbd.exports import SOCKETS
from openami.settings import Settings


class Keeper:
    """`client` asks the daemon, whichever process it is. `sockets` is where its exports are."""

    def __init__(self, settings: Settings, places: Mapping[Region, Place]) -> None:
        self._settings, self._places = settings, places
        directory = process.directory_of(settings)
        self._directory: Final = directory
        self.client = Daemon(directory)
        self.sockets = directory / SOCKETS
        self.is_wanted = settings.block_daemon == "on" and settings.compute_driver == "qemu"

    def is_needed(self) -> bool:
        return self.is_wanted or self.is_read_from()

    def is_read_from(self) -> bool:
        """Whether a machine may read from it, or could before a crash: something is offered."""
        return not written.is_empty(self._directory)

    def ensure(self) -> None:
        """Have it run if it is needed; cheap where it does. Raises DaemonAway."""
        if self.is_needed():
            process.ensure(self._settings, self._places)

    def release(self) -> None:
        """End it, if it runs and nobody reads from it. Where somebody does it outlives us."""
        if not self.is_read_from():
            process.stop(self._settings)
