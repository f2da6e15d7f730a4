"""A block daemon that moves no bytes until a test says so."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from openami.blockstore.cache import BaseCache
from openami.blockstore.store import ChunkStore
from openami.domain.ids import Region
from openami.domain.manifest import Root
from openami.nbd.client import DaemonAway, Export, ExportRefused, Hydration


class FakeBlockDaemon:
    """Its sockets are names only: nothing listens on them. `hydrate` completes a disk.

    `profiles` are what machines are said to have read first. While `away` it answers
    nobody; `trouble` is what hydrations tell.
    """

    def __init__(
        self, directory: Path, cache: BaseCache, stores: Mapping[Region, ChunkStore]
    ) -> None:
        self._directory, self._cache, self._stores = directory, cache, stores
        self._exports: dict[str, Export] = {}
        self.away = False
        self.trouble = ""
        self.profiles: dict[Root, Sequence[int]] = {}

    def open_export(
        self, export_id: str, region: Region, root: Root, uid: int, profile: Sequence[int] = ()
    ) -> Path:
        self._answers()
        if region not in self._stores:
            raise ExportRefused(f"no store of {region}")
        there = self._exports.get(export_id)
        if there is not None and there.root != root:
            raise ExportRefused(f"{export_id} is of {there.root.to_text()}")
        path = self._directory / "sockets" / f"{export_id}.sock"
        if profile:
            self.profiles.setdefault(root, profile)
        self._exports[export_id] = Export(region=region, root=root, uid=uid, path=path)
        return path

    def close_export(self, export_id: str) -> None:
        self._answers()
        self._exports.pop(export_id, None)

    def exports(self) -> Mapping[str, Export]:
        self._answers()
        return dict(self._exports)

    def hydration(self, region: Region, root: Root) -> Hydration:
        self._answers()
        path = self._cache.path(root)
        complete = path.exists()
        return Hydration(
            blocks_here=root.blocks if complete else 0,
            blocks=root.blocks,
            complete=complete,
            path=path,
            trouble=self.trouble,
        )

    def profile(self, root: Root) -> Sequence[int]:
        self._answers()
        return self.profiles.get(root, ())

    def hydrate(self, region: Region, root: Root) -> None:
        """Bring the whole disk here, as a hydration of some length does."""
        self._cache.ensure(self._stores[region], root)

    def _answers(self) -> None:
        if self.away:
            raise DaemonAway("the block daemon is away")
