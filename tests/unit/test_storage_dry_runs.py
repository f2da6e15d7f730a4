"""DryRun of everything that changes images, snapshots, volumes and tags: nothing changes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openami.catalog.catalog import Catalog
from openami.domain.errors import DryRunOperation
from support.asking import a_bootable_image, a_running_instance, ask
from support.builders import IMAGE, SNAPSHOT, ZONE
from support.fakes import services

TAG = {"Key": "a", "Value": "b"}
ROOT = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": SNAPSHOT}}


def everything(catalog: Catalog) -> list[str]:
    """Every row of the database, as SQL."""
    with catalog.engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        return list(raw.iterdump())


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        (
            "RegisterImage",
            {"Name": "new", "RootDeviceName": "/dev/xvda", "BlockDeviceMappings": [ROOT]},
        ),
        ("DeregisterImage", {"ImageId": IMAGE, "DeleteAssociatedSnapshots": True}),
        ("CreateImage", {"InstanceId": "THE INSTANCE", "Name": "new"}),
        ("ModifyImageAttribute", {"ImageId": IMAGE, "Description": {"Value": "new"}}),
        ("ModifyImageAttribute", {"ImageId": IMAGE, "ImdsSupport": {"Value": "v2.0"}}),
        (
            "ModifyImageAttribute",
            {"ImageId": IMAGE, "LaunchPermission": {"Remove": [{"Group": "all"}]}},
        ),
        ("ResetImageAttribute", {"ImageId": IMAGE, "Attribute": "launchPermission"}),
        ("CreateSnapshot", {"VolumeId": "THE VOLUME"}),
        ("CreateVolume", {"AvailabilityZone": ZONE, "Size": 1, "ClientToken": "t"}),
        ("DeleteVolume", {"VolumeId": "THE VOLUME"}),
        (
            "AttachVolume",
            {"VolumeId": "THE VOLUME", "InstanceId": "THE INSTANCE", "Device": "/dev/sdf"},
        ),
        ("CreateTags", {"Resources": [IMAGE], "Tags": [{"Key": "c"}]}),
        ("DeleteTags", {"Resources": [IMAGE]}),
    ],
)
def test_a_dry_run_changes_nothing(
    tmp_path: Path, operation: str, request_: dict[str, Any]
) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    ask(svc, "ModifyImageAttribute", ImageId=IMAGE, OperationType="add", UserGroups=["all"])
    instance_id = a_running_instance(svc)
    zone = ask(svc, "DescribeVolumes")["Volumes"][0]["AvailabilityZone"]
    volume_id = ask(svc, "CreateVolume", AvailabilityZone=zone, Size=1)["VolumeId"]
    ask(svc, "CreateTags", Resources=[IMAGE], Tags=[TAG])
    real = {"THE VOLUME": volume_id, "THE INSTANCE": instance_id}
    asked = {
        name: real.get(value, value) if isinstance(value, str) else value
        for name, value in request_.items()
    }
    before = everything(svc.catalog)
    with pytest.raises(DryRunOperation):
        ask(replace(svc, catalog=svc.catalog.dry_run()), operation, **asked)
    assert everything(svc.catalog) == before
    assert list(svc.volumes.list()).count(volume_id) == 1
    assert ask(svc, operation, **asked) is not None, "and the real call does it"
    assert everything(svc.catalog) != before
