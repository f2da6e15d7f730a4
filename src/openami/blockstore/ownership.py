"""Whose bytes a store holds: a record in it names the catalog and the region that rely on them.

A collector deletes what its catalog does not name. Over the store of another catalog that would be
all of it, so nobody works on a store before he has read its record, or has written the first one.
"""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from openami.blockstore.disk_sync import full_disk_is_told, sync_directory, write_all
from openami.domain.ids import Region

OWNER: Final = "owner"
"""The record's name in its store."""
EPOCH: Final = "epoch"
"""Beside it: the word that who collects wrote last (workflows/tenure.py)."""
DISPUTED: Final = "disputed"
"""Beside it, where two have written such words: nobody collects while this is there."""


class Part(StrEnum):
    """What a region keeps in different places."""

    CHUNKS = "chunks"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who relies on what a store holds, and on which part of it."""

    catalog: str
    region: Region
    part: Part = Part.CHUNKS

    def __str__(self) -> str:
        return f"the {self.part} of {self.region} of catalog {self.catalog}"


class OwnerRecord(Protocol):
    """Where a store keeps its owner. Written once: who comes second finds what the first wrote."""

    @property
    def where(self) -> str:
        """The record's place, for the operator."""
        ...

    def read(self) -> bytes | None:
        """None if nobody has written it."""
        ...

    def create(self, text: bytes) -> bool:
        """Write it durably if it is not there; False if it is. Never a part of it."""
        ...

    def epoch(self) -> str | None:
        """The word beside it; None if there is none."""
        ...

    def set_epoch(self, epoch: str) -> None:
        """Replace it, durably, as a whole."""
        ...

    def is_disputed(self) -> bool: ...

    def dispute(self) -> None:
        """Durably. Doing so again is harmless."""
        ...

    def end_dispute(self) -> None: ...


class ForeignStore(Exception):
    """A store is not this catalog's, or may not be; the message names the place and the fix."""


def is_claimed(record: OwnerRecord, owner: Owner) -> bool:
    """Whether the store is `owner`'s; False if it is nobody's. Raises ForeignStore."""
    text = record.read()
    if text is None:
        return False
    found = _parsed(record, text)
    if found != owner:
        raise ForeignStore(
            f"{record.where} says: {found}. It is wanted as {owner}. {_fix(found, owner)}"
        )
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a record should say."""

    record: OwnerRecord
    owner: Owner

    def require(self) -> None:
        """Raises ForeignStore if it says anything else now, or is not there."""
        if not is_claimed(self.record, self.owner):
            raise ForeignStore(
                f"There is no {self.record.where} any more, and nothing goes from {self.owner}."
                " Mount the disk that holds it"
            )


def claim(record: OwnerRecord, owner: Owner) -> None:
    """Write down whose the store is. Raises ForeignStore if another was quicker."""
    if not record.create(json.dumps(asdict(owner)).encode() + b"\n"):
        is_claimed(record, owner)


def _fix(found: Owner, owner: Owner) -> str:
    if found.catalog == owner.catalog:
        return (
            "Put the setting regions back into the order it had, or name directories in"
            " region_stores"
        )
    return (
        "Bring back the catalog that goes with this store, or name another directory in"
        " region_stores. Remove the record only where nothing else relies on the store"
    )


def _parsed(record: OwnerRecord, text: bytes) -> Owner:
    try:
        fields = json.loads(text)
        return Owner(catalog=fields["catalog"], region=fields["region"], part=Part(fields["part"]))
    except (ValueError, KeyError, TypeError) as wrong:
        raise ForeignStore(f"{record.where} does not say whose the store is: {text!r}") from wrong


class OwnerFile:
    """The record of a store in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def where(self) -> str:
        return str(self._directory / OWNER)

    def read(self) -> bytes | None:
        return self._read(OWNER)

    def create(self, text: bytes) -> bool:
        try:
            self._write(OWNER, text, os.link)
        except FileExistsError:
            return False
        return True

    def epoch(self) -> str | None:
        text = self._read(EPOCH)
        return None if text is None else text.decode(errors="replace").strip()

    def set_epoch(self, epoch: str) -> None:
        self._write(EPOCH, epoch.encode() + b"\n", os.replace)

    def is_disputed(self) -> bool:
        return (self._directory / DISPUTED).exists()

    def dispute(self) -> None:
        if not self.is_disputed():
            self._write(DISPUTED, b"", os.replace)

    def end_dispute(self) -> None:
        (self._directory / DISPUTED).unlink(missing_ok=True)
        sync_directory(self._directory)

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._directory / name).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, name: str, text: bytes, give: Callable[[Path, Path], None]) -> None:
        """A draft, which `give` gives its name when it is durable.

        Nobody else's has its name: in two containers processes have the same number.
        """
        with full_disk_is_told(self._directory):
            descriptor, path = tempfile.mkstemp(prefix=f".{name}.", dir=self._directory)
            draft = Path(path)
            try:
                write_all(descriptor, text)
                os.fsync(descriptor)
                give(draft, self._directory / name)
            finally:
                os.close(descriptor)
                draft.unlink(missing_ok=True)
            sync_directory(self._directory)
