"""How each contender stores a disk and gets it back, with the same durability for all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.measure import Sample, read_into_page_cache, run

# Peers that do not sync what they wrote are made to: ours is on the disk when it returns.
AND_SYNC = '"$@" && sync -f "$OUTPUT"'


class Scratch:
    """A directory for stores and outputs, emptied between parts, never within one.

    ext4 is slow to create files for seconds after many were deleted, which would be the next
    contender's loss.
    """

    def __init__(self, directory: Path, disk: Path) -> None:
        self.directory, self.disk = directory, disk
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        os.sync()
        self.env = {
            "RESTIC_PASSWORD": "bench",
            "RESTIC_CACHE_DIR": str(directory / "restic-cache"),
            "BORG_BASE_DIR": str(directory / "borg-base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
            "PYTHONPATH": "src:.",
        }

    def prepare(self, *command: str | Path) -> str:
        """What a command prints that is not measured."""
        done = subprocess.run(
            [str(word) for word in command],
            check=True,
            env={**os.environ, **self.env},
            cwd=self.directory,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def synced(self, output: Path, *command: str | Path) -> Sample:
        env = {**self.env, "OUTPUT": str(output.parent)}
        words = ["sh", "-c", AND_SYNC, "sh", *command]
        return run(words, where=self.directory, env=env, output=output)

    # Storing

    def ours_ingest(self, name: str) -> Sample:
        store = self.directory / f"ours-{name}"
        read_into_page_cache(self.disk)
        command = [sys.executable, "-m", "bench.ours", "ingest", store, self.disk]
        return run(command, env=self.env, output=store)

    def restic_repository(self, name: str) -> Path:
        repository = self.directory / f"restic-{name}"
        self.prepare("restic", "init", "-q", "-r", repository)
        return repository

    def restic_backup(self, repository: Path, *options: str) -> Sample:
        read_into_page_cache(self.disk)
        # --force: read the disk, do not trust its time stamp. A disk to be ingested is new.
        command = ["restic", "backup", "-q", "--force", *options, "-r", repository, self.disk]
        return self.synced(repository, *command)

    def borg_repository(self, name: str) -> Path:
        repository = self.directory / f"borg-{name}"
        self.prepare("borg", "init", "-e", "none", repository)
        return repository

    def borg_create(self, name: str) -> Sample:
        return self.borg_archive(self.borg_repository(name), "a")

    def borg_archive(self, repository: Path, name: str) -> Sample:
        read_into_page_cache(self.disk)
        command = ["borg", "create", "--compression", "zstd,1", f"{repository}::{name}", self.disk]
        return self.synced(repository, *command)

    def qemu_img_compress(self, name: str) -> Sample:
        output = self.directory / f"qemu-{name}.qcow2"
        read_into_page_cache(self.disk)
        options = ["-O", "qcow2", "-o", "compression_type=zstd", "-m", "16", "-W"]
        command = ["qemu-img", "convert", "-c", "-f", "raw", *options, self.disk, output]
        return self.synced(output, *command)

    def casync_make(self, name: str) -> Sample:
        store = self.directory / f"casync-{name}"
        store.mkdir()
        read_into_page_cache(self.disk)
        index = store / "disk.caibx"
        return self.synced(store, "casync", "make", f"--store={store}/chunks", index, self.disk)
