"""What is offered, durably, one file an export: a restarted daemon offers the same."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from openami.blockstore.disk_sync import sync_directory, write_all
from openami.nbd.client import Export

WRITTEN: Final = "exports"
_log = logging.getLogger(__name__)


def save(directory: Path, export_id: str, export: Export) -> None:
    """`directory` is the daemon's, here and below. Raises OSError."""
    home = directory / WRITTEN
    draft = home / f".{export_id}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, json.dumps(export.to_json()).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.rename(home / f"{export_id}.json")
    sync_directory(home)


def forget(directory: Path, export_id: str) -> None:
    """One that is not there is fine. Raises OSError; it may be there again after a power cut then,
    until a later call has returned."""
    (directory / WRITTEN / f"{export_id}.json").unlink(missing_ok=True)
    sync_directory(directory / WRITTEN)


def is_empty(directory: Path) -> bool:
    return not any((directory / WRITTEN).glob("*.json"))


def written(directory: Path) -> Mapping[str, Export]:
    """Whether or not a daemon runs. What cannot be read is passed over."""
    found: dict[str, Export] = {}
    for file in sorted((directory / WRITTEN).glob("*.json")):
        try:
            found[file.stem] = Export.from_json(json.loads(file.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            _log.exception("%s is not offered", file)
    return found
