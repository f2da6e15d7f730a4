"""Snapshots written block by block, while the power goes at any moment and the client goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openami.blockstore import codec
from openami.blockstore.verify import verify
from openami.domain.errors import EC2Error
from openami.services import Services
from openami.workflows import region_stores
from support.asking import ask
from support.builders import HERE
from support.crash import Made, assert_survives
from support.direct import begun, blocks_read, complete, data, write
from support.power import in_buckets, on_a_disk_that_lies, on_its_disk

BLOCKS = {300: "a", 0: "a"}  # the second is found there


class Client:
    """Begins with a token, puts what was not answered, completes; the same again after a cut."""

    def prepared(self, svc: Services) -> Callable[[], object]:
        self.snapshot_id: str | None = None
        self.answered: set[int] = set()
        return lambda: self.work(svc)

    def work(self, svc: Services) -> None:
        if self.snapshot_id is None:
            self.snapshot_id = begun(svc, ClientToken="token")
        for index in BLOCKS.keys() - self.answered:
            write(svc, self.snapshot_id, {index: BLOCKS[index]})
            self.answered.add(index)
        complete(svc, self.snapshot_id, len(BLOCKS))

    def go_on(self, svc: Services) -> None:
        wanted = region_stores.wanted(svc.catalog, svc.volumes, HERE, svc.stores[HERE])
        report = verify(svc.stores[HERE], wanted.roots, more_chunks=wanted.chunks)
        assert report.intact
        assert not self.answered or wanted.roots or codec.digest_of(data("a")) in wanted.chunks
        self.work(svc)

    def check(self, svc: Services) -> None:
        assert self.snapshot_id is not None
        (told,) = ask(svc, "DescribeSnapshots", SnapshotIds=[self.snapshot_id])["Snapshots"]
        assert told["State"] == "completed"
        assert blocks_read(svc, self.snapshot_id) == BLOCKS


def survived(directory: Path, host: Made) -> int:
    client = Client()
    return assert_survives(directory, client.prepared, client.go_on, client.check, made=host)


@pytest.mark.parametrize("host", [on_its_disk, in_buckets])
def test_what_was_answered_survives_a_power_cut_at_any_moment(tmp_path: Path, host: Made) -> None:
    assert survived(tmp_path, host) > 15


def test_a_disk_that_lies_is_noticed(tmp_path: Path) -> None:
    with pytest.raises((AssertionError, EC2Error, ExceptionGroup)):
        survived(tmp_path, on_a_disk_that_lies)
