"""A bucket's name stays with its owner for as long as a task is at work in it."""

import threading
from pathlib import Path

import pytest

from openami.objects.in_use import BucketInUse, BucketsInUse
from openami.services import Services
from support.asking import ask
from support.builders import IMAGE, a_device
from support.fakes import services
from support.stored import MINE, objects, with_an_image_and_buckets

DEADLINE_S = 60.0


def test_a_bucket_in_which_a_task_is_at_work_is_not_deleted() -> None:
    buckets = BucketsInUse()
    with buckets.work("a"), buckets.deletion("b"):
        with buckets.work("a"):
            pass
        with pytest.raises(BucketInUse), buckets.deletion("a"):
            pass
    with buckets.deletion("a"):
        pass


def test_no_task_begins_in_a_bucket_that_is_being_deleted() -> None:
    buckets = BucketsInUse()
    with buckets.deletion("a"):
        with pytest.raises(BucketInUse), buckets.work("a"):
            pass
        with pytest.raises(BucketInUse), buckets.deletion("a"):
            pass
    with buckets.work("a"):
        pass


def test_a_task_may_wait_for_the_end_of_a_deletion() -> None:
    buckets, done = BucketsInUse(), threading.Event()

    def work() -> None:
        with buckets.work("a", DEADLINE_S):
            done.set()

    with buckets.deletion("a"):
        thread = threading.Thread(target=work)
        thread.start()
        assert not done.wait(0.1)
    assert done.wait(DEADLINE_S)
    thread.join(DEADLINE_S)


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    svc = services(tmp_path)
    with_an_image_and_buckets(svc, block_device_mappings=(a_device(),))
    return svc


@pytest.mark.parametrize("operation", ["ExportImage", "CreateStoreImageTask"])
def test_a_bucket_keeps_its_owner_while_something_is_written_into_it(
    svc: Services, operation: str
) -> None:
    refused: list[str] = []

    def delete() -> None:
        with pytest.raises(BucketInUse), svc.buckets.deletion(MINE):
            pass
        refused.append(MINE)

    objects(svc).moment = delete
    of_export = {"DiskImageFormat": "RAW", "S3ExportLocation": {"S3Bucket": MINE}}
    request = of_export if operation == "ExportImage" else {"Bucket": MINE}
    ask(svc, operation, **{"ImageId": IMAGE, **request})
    assert refused
    with svc.buckets.deletion(MINE):
        pass
