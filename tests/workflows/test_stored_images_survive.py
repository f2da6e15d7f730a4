"""Images on their way into a bucket and out of it, with the power cut at every moment."""

from collections.abc import Callable
from pathlib import Path

from openami.blockstore import archive
from openami.blockstore.archive import Source
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.store import Kind
from openami.blockstore.verify import verify
from openami.catalog import ingests
from openami.catalog.transfers import image_restores
from openami.domain.transfers.stored_image import parsed
from openami.services import Services
from openami.workflows import region_stores
from support.asking import ask
from support.builders import EPOCH, HERE, IMAGE
from support.crash import assert_survives
from support.disk_contents import blocks_of, snapshot_blocks
from support.stored import DATA, MINE, ROOT, objects, told_in, with_an_image_and_buckets

KEY = f"{IMAGE}.bin"


def an_image_is_stored(svc: Services) -> Callable[[], object]:
    with_an_image_and_buckets(svc)
    return lambda: ask(svc, "CreateStoreImageTask", ImageId=IMAGE, Bucket=MINE)


def there_is_no_half_object(svc: Services) -> None:
    """And what is still to be uploaded is spoken for, also when the image goes."""
    assert all(told_in(data) for data in objects(svc).held.values())
    store = svc.stores[HERE]
    assert verify(store, region_stores.roots(svc.catalog, HERE)).intact


def it_is_stored_or_was_never_asked_for(svc: Services) -> None:
    tasks = ask(svc, "DescribeStoreImageTasks")["StoreImageTaskResults"]
    states = [each["StoreTaskState"] for each in tasks]
    assert states in ([], ["Completed"])
    assert objects(svc).uploads == set()
    assert set(objects(svc).held) == ({(MINE, KEY)} if tasks else set())
    for data in objects(svc).held.values():
        store = MemoryChunkStore()
        source = Source([data])
        roots = parsed(archive.text_of(source), EPOCH).roots
        archive.restore(source, store, roots)
        assert [blocks_of(store, root) for root in roots] == [ROOT, DATA]


def the_image_is_whole(svc: Services, image_id: str) -> None:
    (image,) = ask(svc, "DescribeImages", ImageIds=[image_id])["Images"]
    assert image["State"] == "available", image
    ids = [each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"]]
    assert [snapshot_blocks(svc, each) for each in ids] == [ROOT, DATA]


def test_a_store_task_survives_a_power_cut_at_any_moment(tmp_path: Path) -> None:
    moments = assert_survives(
        *(tmp_path, an_image_is_stored),
        *(there_is_no_half_object, it_is_stored_or_was_never_asked_for),
    )
    assert moments > 10


def test_an_image_deleted_in_the_crash_is_still_stored(tmp_path: Path) -> None:
    def delete_the_image(svc: Services) -> None:
        ask(svc, "DeregisterImage", ImageId=IMAGE, DeleteAssociatedSnapshots=True)
        there_is_no_half_object(svc)

    assert_survives(
        *(tmp_path, an_image_is_stored, delete_the_image, it_is_stored_or_was_never_asked_for)
    )


def an_image_is_restored(svc: Services) -> Callable[[], object]:
    an_image_is_stored(svc)()
    ask(svc, "DeregisterImage", ImageId=IMAGE, DeleteAssociatedSnapshots=True)
    for kind in Kind:
        for digest in list(svc.stores[HERE].digests(kind)):
            svc.stores[HERE].delete(digest, kind)
    return lambda: ask(svc, "CreateRestoreImageTask", Bucket=MINE, ObjectKey=KEY)


def what_has_content_is_whole(svc: Services) -> None:
    report = verify(svc.stores[HERE], region_stores.roots(svc.catalog, HERE))
    assert report.intact
    for image in ask(svc, "DescribeImages")["Images"]:
        if image["State"] == "available":
            the_image_is_whole(svc, image["ImageId"])


def it_is_restored_or_was_never_asked_for(svc: Services) -> None:
    found = ask(svc, "DescribeImages")["Images"]
    assert [each["State"] for each in found] in ([], ["available"])
    what_has_content_is_whole(svc)
    states = {each["State"] for each in ask(svc, "DescribeSnapshots")["Snapshots"]}
    assert states <= {"completed"}
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []
        assert image_restores.every(tx) == []


def test_a_restore_survives_a_power_cut_at_any_moment(tmp_path: Path) -> None:
    moments = assert_survives(
        *(tmp_path, an_image_is_restored),
        *(what_has_content_is_whole, it_is_restored_or_was_never_asked_for),
    )
    assert moments > 10


def test_an_image_deregistered_in_the_crash_leaves_nothing_pending(tmp_path: Path) -> None:
    def deregister(svc: Services) -> None:
        for image in ask(svc, "DescribeImages")["Images"]:
            ask(svc, "DeregisterImage", ImageId=image["ImageId"])

    def nothing_is_pending(svc: Services) -> None:
        states = {each["State"] for each in ask(svc, "DescribeSnapshots")["Snapshots"]}
        assert states <= {"completed"}
        with svc.catalog.read() as tx:
            assert ingests.all_active(tx) == []
            assert image_restores.every(tx) == []

    assert_survives(tmp_path, an_image_is_restored, deregister, nothing_is_pending)
