"""Which disks are offered to whom: a socket each, written down so that a restart offers the same.

`exports/<id>.json` is durable before `sockets/<id>.sock` is there. A socket is made under another
name and gets its own when its user may open it and it listens: a client that finds it can read.
What is written down and cannot be offered now is late: it is told with the rest, may be closed as
they may, and is tried again and again.

Whoever opens or closes holds the lock of that export, then of its disk, through syncs of any
length. The lock of all is held for looks at what there is, and by those who do nothing else.
"""

import errno
import logging
import os
import re
import selectors
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from openami.blockstore.cache import BaseCache
from openami.domain.ids import Region
from openami.domain.manifest import Root
from openami.jobs.locks import KeyedLocks
from openami.nbd import kept, written
from openami.nbd.client import Export, ExportRefused
from openami.nbd.disk import Disk, Source
from openami.nbd.handshake import HandshakeFailed, negotiate
from openami.nbd.poller import Poller
from openami.nbd.profile import Profiles
from openami.nbd.transmission import Connection

SOCKETS: Final = "sockets"
CONNECTIONS_MAX: Final = 16
"""Of one export: QEMU has one, nbdcopy four. Each may take two threads and 3 MiB."""
DISK_BLOCKS_MAX: Final = 1 << 25
"""16 TiB: the states of its blocks take 32 MiB of memory."""
BLOCKS_MAX: Final = 1 << 28
"""Of all disks that are open at once."""
_BACKLOG: Final = 16
_ACCEPT_AGAIN_S: Final = 0.1
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Offered:
    """An export that listens. `ends` are the ways to end its connections."""

    export: Export
    disk: Disk
    listener: socket.socket
    ends: set[Callable[[], None]] = field(default_factory=set[Callable[[], None]])


@dataclass(frozen=True, slots=True)
class _Late:
    """An export that is written down and cannot be offered, or forgotten, and why not."""

    export: Export
    reason: str
    is_closed: bool = False


class Exports:
    """Everything that is offered. Thread-safe."""

    def __init__(
        self,
        directory: Path,
        cache: BaseCache,
        sources: Mapping[Region, Source],
        profiles: Profiles,
    ) -> None:
        self._sources, self._cache = sources, cache
        self._profiles = profiles
        self._directory, self._sockets = directory, directory / SOCKETS
        (directory / written.WRITTEN).mkdir(mode=0o700, exist_ok=True)
        self._sockets.mkdir(mode=0o711, exist_ok=True)
        self._sockets.chmod(0o711)  # whatever the umask: a machine's user walks through it
        self._offered: dict[str, _Offered] = {}
        self._late: dict[str, _Late] = {}
        self._disks: dict[Root, Disk] = {}
        self._opening: set[Root] = set()
        self._one = KeyedLocks()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._closing = threading.Event()
        self._poller = Poller()
        self._acceptor = threading.Thread(target=self._accept, name="accept", daemon=True)
        self._acceptor.start()

    def restore(self) -> None:
        """Offer again what was offered before."""
        with self._lock:
            for name, export in written.written(self._directory).items():
                self._late[name] = _Late(export, "")
        self.offer_late()

    def offer_late(self) -> None:
        """Try again what could not be offered. Why it still cannot be is told when it is news."""
        for name in list(self._late):
            with self._one.if_free(name) as is_ours:
                late = self._late.get(name)
                if not is_ours or late is None:
                    continue
                try:
                    if late.is_closed:
                        self._forget(name, late.export)
                    else:
                        self._offer(name, late.export)
                except (OSError, kept.KeptElsewhere, ExportRefused) as failed:
                    if late.reason != str(failed):
                        _log.warning("%s is still late: %s", name, failed)
                    self._late[name] = replace(late, reason=str(failed))

    def open(
        self, export_id: str, region: Region, root: Root, uid: int, profile: Sequence[int] = ()
    ) -> Path:
        """As BlockDaemon.open_export. Raises ExportRefused, OSError, KeptElsewhere: it is then as
        it was before."""
        if not _ID.fullmatch(export_id):
            raise ExportRefused(f"no export can be called {export_id!r}")
        path = self._sockets / f"{export_id}.sock"
        export = Export(region=region, root=root, uid=uid, path=path)
        with self._one(export_id):
            there = self.told().get(export_id)
            if there is not None and (there.root, there.region) != (root, region):
                raise ExportRefused(f"{export_id} is there, of {there.root.to_text()}")
            offered = self._offered.get(export_id)
            if offered is None:
                self._learn(root, profile)
                try:
                    written.save(self._directory, export_id, export)
                    self._offer(export_id, export)
                except BaseException:
                    with suppress(OSError):  # what went wrong first is told
                        if there is None:
                            self._forget(export_id, export)
                        else:
                            written.save(self._directory, export_id, there)
                    raise
            elif offered.export != export:
                written.save(self._directory, export_id, export)
                os.chown(path, uid, -1)
                offered.export = export
                self._send_away(offered)  # they are the former user's
        return path

    def close(self, export_id: str) -> None:
        """As BlockDaemon.close_export. Raises OSError: nobody reads it any more, and it is told
        until what is written down of it is gone."""
        offered = None
        try:
            with self._one(export_id):
                with self._lock:
                    late = self._late.pop(export_id, None)
                    offered = self._offered.pop(export_id, None)
                    if offered is not None:
                        self._withdraw(offered)
                if offered is not None:
                    self._send_away(offered)
                there = offered or late
                if _ID.fullmatch(export_id):
                    self._forget(export_id, None if there is None else there.export)
        finally:
            if offered is not None:
                offered.disk.leave()  # what is synced with it is no other export's business

    def told(self) -> Mapping[str, Export]:
        with self._lock:
            late = {name: late.export for name, late in self._late.items()}
            return late | {name: offered.export for name, offered in self._offered.items()}

    def trouble(self, root: Root) -> str:
        """What keeps the disk from coming here, for the operator."""
        with self._lock:
            late = [each.reason for each in self._late.values() if each.export.root == root]
        disk = self.disk(root)
        found = dict.fromkeys([*late, "" if disk is None else disk.trouble()])
        return "; ".join(filter(None, found))

    def profile(self, root: Root) -> Sequence[int]:
        """What was read first of the disk, as far as that is known here."""
        disk = self.disk(root)
        return self._profiles.load(root) or () if disk is None else disk.profile()

    def disks(self, *regions: Region) -> Sequence[Disk]:
        """Those that are offered, each once; of these regions, if any are named."""
        with self._lock:
            offered = [
                each
                for each in self._offered.values()
                if each.export.region in regions or not regions
            ]
        return list({id(each.disk): each.disk for each in offered}.values())

    def disk(self, root: Root) -> Disk | None:
        """The disk, if it is offered."""
        return next((disk for disk in self.disks() if disk.root == root), None)

    def shut(self) -> None:
        """End all connections and let go of the disks. All is offered again after `restore`."""
        self._closing.set()
        self._wake.send(b"x")
        self._acceptor.join()
        with self._lock:
            all_offered = list(self._offered.values())
            self._offered.clear()
            for offered in all_offered:
                self._withdraw(offered)
        for offered in all_offered:
            self._send_away(offered)
            offered.disk.leave()
        self._poller.close()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _offer(self, export_id: str, export: Export) -> None:
        disk = self._entered_disk(export)
        draft = self._sockets / f".{export_id}"
        listener = socket.socket(socket.AF_UNIX)
        offered = _Offered(export=export, disk=disk, listener=listener)
        try:
            _listen(listener, draft, export.uid)
            draft.rename(export.path)
            self._begin(export_id, offered)
        except BaseException:
            listener.close()
            disk.leave()
            raise
        self._wake.send(b"x")

    def _learn(self, root: Root, profile: Sequence[int]) -> None:
        if profile and self._profiles.load(root) is None:
            with suppress(OSError):  # it is a hint
                self._profiles.save(root, profile)

    def _begin(self, export_id: str, offered: _Offered) -> None:
        with self._lock:
            if self._closing.is_set():
                raise OSError(errno.ESHUTDOWN, "the block daemon ends")
            self._late.pop(export_id, None)
            self._offered[export_id] = offered
            self._selector.register(offered.listener, selectors.EVENT_READ, (export_id, offered))

    def _entered_disk(self, export: Export) -> Disk:
        """The one that other exports have, or had a moment ago, or a new one."""
        source = self._sources.get(export.region)
        if source is None:
            raise ExportRefused(f"no store of {export.region} is known here")
        with self._one(export.root.to_text()):
            disk = self._disks.get(export.root)
            if disk is None or not disk.enter():  # which waits for one that is being closed
                disk = self._new_disk(source, export.root)
            disk.also_from(source)
        return disk

    def _new_disk(self, source: Source, root: Root) -> Disk:
        with self._lock:
            self._disks = {root: disk for root, disk in self._disks.items() if not disk.closed}
            taken = sum(each.blocks for each in {*self._disks, *self._opening})
            if root.blocks > min(DISK_BLOCKS_MAX, BLOCKS_MAX - taken):
                raise ExportRefused(f"a disk of {root.blocks} blocks is too much beside {taken}")
            self._opening.add(root)
        try:
            disk = Disk(source, kept.opened(self._cache, root), self._profiles)
            disk.enter()
            with self._lock:
                self._disks[root] = disk
        finally:
            with self._lock:
                self._opening.discard(root)
        return disk

    def _withdraw(self, offered: _Offered) -> None:
        """The lock is held."""
        self._selector.unregister(offered.listener)
        offered.listener.close()

    def _send_away(self, offered: _Offered) -> None:
        with self._lock:
            ends = list(offered.ends)
        for end in ends:
            end()

    def _forget(self, export_id: str, export: Export | None) -> None:
        """Raises OSError: one that was there is then late, so that it is told and tried again."""
        try:
            (self._sockets / f"{export_id}.sock").unlink(missing_ok=True)
            written.forget(self._directory, export_id)
        except OSError as failed:
            if export is not None:
                with self._lock:
                    self._late[export_id] = _Late(export, str(failed), is_closed=True)
            raise
        with self._lock:
            self._late.pop(export_id, None)

    # Those who come

    def _accept(self) -> None:
        while not self._closing.is_set():
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(4096)
                    continue
                export_id, offered = key.data
                try:
                    self._accept_one(export_id, offered)
                except Exception:  # noqa: BLE001, one client must not keep all others out
                    _log.exception("a client of %s is not served", export_id)
                    self._closing.wait(_ACCEPT_AGAIN_S)

    def _accept_one(self, export_id: str, offered: _Offered) -> None:
        try:
            client = offered.listener.accept()[0]
        except OSError as failed:  # withdrawn meanwhile, or no descriptor is left
            _log.debug("a client of %s is not accepted: %s", export_id, failed)
            self._closing.wait(_ACCEPT_AGAIN_S)
            return
        with self._lock:
            is_there = self._offered.get(export_id) is offered
            if not is_there or len(offered.ends) >= CONNECTIONS_MAX or not offered.disk.enter():
                client.close()
                return
            end = _Ending(client)
            offered.ends.add(end)
        serve = threading.Thread(
            target=self._serve, args=(client, export_id, offered, end), name=export_id, daemon=True
        )
        try:
            serve.start()
        except RuntimeError:  # the host has no thread left for us
            with self._lock:
                offered.ends.discard(end)
            offered.disk.leave()
            client.close()
            raise

    def _serve(
        self, client: socket.socket, export_id: str, offered: _Offered, end: "_Ending"
    ) -> None:
        try:
            with client:
                names = (b"", export_id.encode())
                agreed = negotiate(client, offered.disk.root.size_bytes, names)
                connection = Connection(client, offered.disk, agreed, self._poller)
                end.of = connection
                if not end.called:
                    connection.serve()
        except (OSError, HandshakeFailed) as wrong:
            _log.debug("a client of %s goes: %s", export_id, wrong)
        finally:
            with self._lock:
                offered.ends.discard(end)
            offered.disk.leave()


class _Ending:
    """The way to end a client, from its first byte on."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self.of: Connection | None = None
        self.called = False

    def __call__(self) -> None:
        self.called = True
        if self.of is not None:
            self.of.end()
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)


def _listen(listener: socket.socket, path: Path, uid: int) -> None:
    path.unlink(missing_ok=True)
    home = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        # By way of a descriptor: the name fits however deep the directory is (unix(7)).
        listener.bind(f"/proc/self/fd/{home}/{path.name}")
    finally:
        os.close(home)
    path.chmod(0o600)
    os.chown(path, uid, -1)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
