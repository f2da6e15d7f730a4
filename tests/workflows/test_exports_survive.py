"""Exports of images and of instances, with the power cut at every moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openami.blockstore.verify import verify
from openami.catalog import ingests
from openami.catalog.transfers import export_tasks
from openami.domain.transfers.export_task import ExportEvent
from openami.services import Services
from openami.workflows import region_stores, scratch
from support.asking import a_bootable_image, a_running_instance, ask
from support.builders import HERE, IMAGE, a_device
from support.crash import Made, assert_survives, fused_services
from support.disk_contents import write_volume
from support.power import in_buckets, on_its_disk
from support.stored import MINE, a_bucket, objects, with_an_image_and_buckets


def an_image_is_exported(disk_format: str) -> Callable[[Services], Callable[[], object]]:
    def begin(svc: Services) -> Callable[[], object]:
        with_an_image_and_buckets(svc, block_device_mappings=(a_device(snapshot_id=SMALL),))
        place = {"S3Bucket": MINE}
        asked = {"ImageId": IMAGE, "DiskImageFormat": disk_format, "S3ExportLocation": place}
        return lambda: ask(svc, "ExportImage", **asked)

    return begin


SMALL = "snap-00000000000000002"


def an_instance_is_exported(svc: Services) -> Callable[[], object]:
    a_bucket(svc, MINE)
    a_bootable_image(svc)
    made = a_running_instance(svc)
    (volume,) = ask(svc, "DescribeVolumes")["Volumes"]
    write_volume(svc, volume["VolumeId"], 3, "x")
    place = {"S3Bucket": MINE, "S3Prefix": "vm/", "ContainerFormat": "ova"}
    asked: dict[str, Any] = {"TargetEnvironment": "vmware", "ExportToS3Task": place}
    return lambda: ask(svc, "CreateInstanceExportTask", InstanceId=made, **asked)


def what_is_needed_is_there(svc: Services) -> None:
    assert verify(svc.stores[HERE], region_stores.roots(svc.catalog, HERE)).intact


def told(svc: Services) -> list[dict[str, Any]]:
    of_images = ask(svc, "DescribeExportImageTasks")["ExportImageTasks"]
    of_instances = ask(svc, "DescribeExportTasks")["ExportTasks"]
    states = [{"State": each["Status"], **each} for each in of_images]
    return [*states, *of_instances]


def it_is_exported_or_was_never_asked_for(svc: Services) -> None:
    found = told(svc)
    assert [each["State"] for each in found] in ([], ["completed"])
    assert len(objects(svc).held) == len(found)
    nothing_is_left_over(svc)


def nothing_is_left_over(svc: Services) -> None:
    assert objects(svc).uploads == set()
    home = scratch.home(svc, "any").parent
    assert not home.exists() or list(home.iterdir()) == []
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []
        assert export_tasks.running(tx) == []


@pytest.mark.parametrize("host", [on_its_disk, in_buckets])
def test_an_image_s_export_survives_a_power_cut_at_any_moment(tmp_path: Path, host: Made) -> None:
    moments = assert_survives(
        *(tmp_path, an_image_is_exported("VMDK")),
        *(what_is_needed_is_there, it_is_exported_or_was_never_asked_for),
        made=host,
    )
    assert moments > 10


@pytest.mark.parametrize("host", [fused_services, on_its_disk])
def test_an_instance_s_export_survives_a_power_cut_at_any_moment(
    tmp_path: Path, host: Made
) -> None:
    moments = assert_survives(
        *(tmp_path, an_instance_is_exported),
        *(what_is_needed_is_there, it_is_exported_or_was_never_asked_for),
        made=host,
    )
    assert moments > 10


def test_an_export_that_is_cancelled_in_the_crash_leaves_nothing(tmp_path: Path) -> None:
    def cancel(svc: Services) -> None:
        what_is_needed_is_there(svc)
        with svc.catalog.begin() as tx:
            for task in export_tasks.running(tx):
                export_tasks.save(tx, task.after(ExportEvent.CANCEL))

    def end(svc: Services) -> None:
        found = told(svc)
        assert [each["State"] for each in found] in ([], ["completed"], ["deleted"])
        assert len(objects(svc).held) == [each["State"] for each in found].count("completed")
        nothing_is_left_over(svc)

    assert_survives(tmp_path, an_image_is_exported("VMDK"), cancel, end)
