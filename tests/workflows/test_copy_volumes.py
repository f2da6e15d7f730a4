"""CopyVolumes, and what a power cut at every moment leaves of a copy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openami.catalog import ingests, volumes
from openami.domain.ids import VolumeId
from openami.domain.manifest import Root
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.workflows import registry
from support.asking import a_bootable_image, a_running_instance, ask, put_accounts, refused
from support.builders import ALICE, HERE, ZONE
from support.crash import assert_survives
from support.disk_contents import blocks_of, write_volume
from support.fakes import services


def a_written_volume(svc: Services) -> str:
    put_accounts(svc, ALICE)
    volume_id = ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"]
    write_volume(svc, volume_id, 5, "x")
    return str(volume_id)


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return services(tmp_path / "state")


def copied(svc: Services, source_id: str, **more: Any) -> dict[str, Any]:
    (answer,) = ask(svc, "CopyVolumes", SourceVolumeId=source_id, **more)["Volumes"]
    return the_volume(svc, answer["VolumeId"])


def the_volume(svc: Services, volume_id: str) -> dict[str, Any]:
    (found,) = ask(svc, "DescribeVolumes", VolumeIds=[volume_id])["Volumes"]
    return found


def content(svc: Services, volume_id: str) -> dict[int, str]:
    with svc.catalog.read() as tx:
        volume = volumes.fetch_any(tx, VolumeId(volume_id))
    assert volume is not None
    assert volume.root is not None
    return blocks_of(svc.stores[volume.region], Root.from_text(volume.root))


def nothing_is_left(svc: Services) -> None:
    directory = svc.settings.state_dir / "scratch"
    assert not directory.exists() or list(directory.iterdir()) == []
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []


def test_a_copy_holds_what_its_source_held(svc: Services) -> None:
    source_id = a_written_volume(svc)
    copy = copied(svc, source_id, Size=3, VolumeType="gp3")
    write_volume(svc, source_id, 6, "y")
    assert (copy["State"], copy["SourceVolumeId"]) == ("available", source_id)
    assert (copy["Size"], copy["VolumeType"], copy["Iops"]) == (3, "gp3", 3000)
    assert copy["AvailabilityZone"] == ZONE
    assert content(svc, copy["VolumeId"]) == {5: "x"}
    assert svc.volumes.paths(VolumeId(copy["VolumeId"]), HERE)[1] is not None
    nothing_is_left(svc)


def test_a_copy_of_a_blank_volume_is_blank(svc: Services) -> None:
    put_accounts(svc, ALICE)
    source_id = ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"]
    assert content(svc, copied(svc, source_id)["VolumeId"]) == {}


def test_the_volume_of_a_running_instance_is_copied(svc: Services) -> None:
    put_accounts(svc, ALICE)
    a_bootable_image(svc)
    instance_id = a_running_instance(svc)
    (volume,) = ask(svc, "DescribeVolumes")["Volumes"]
    copy = copied(svc, volume["VolumeId"])
    assert (copy["State"], copy["Attachments"]) == ("available", [])
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    assert the_volume(svc, copy["VolumeId"])["State"] == "available"


def test_a_copy_outlives_its_source_and_is_copied_on(svc: Services) -> None:
    source_id = a_written_volume(svc)
    first = copied(svc, source_id)
    ask(svc, "DeleteVolume", VolumeId=source_id)
    write_volume(svc, first["VolumeId"], 7, "z")
    assert content(svc, copied(svc, first["VolumeId"])["VolumeId"]) == {5: "x", 7: "z"}


def test_the_same_token_is_the_same_copy(svc: Services) -> None:
    source_id = a_written_volume(svc)
    first = copied(svc, source_id, ClientToken="t")
    assert copied(svc, source_id, ClientToken="t")["VolumeId"] == first["VolumeId"]
    with refused("IdempotentParameterMismatch"):
        copied(svc, source_id, ClientToken="t", Size=9)


def begun(svc: Services, source_id: str) -> str:
    """A copy of which the engine knows nothing yet."""
    svc.jobs.close()
    with pytest.raises(NotRunning):
        copied(svc, source_id)
    svc.jobs.launch()
    (copy,) = [
        each for each in ask(svc, "DescribeVolumes")["Volumes"] if each["VolumeId"] != source_id
    ]
    assert copy["State"] == "creating"
    return str(copy["VolumeId"])


def test_a_source_deleted_at_once_is_still_copied(svc: Services) -> None:
    source_id = a_written_volume(svc)
    copy_id = begun(svc, source_id)
    ask(svc, "DeleteVolume", VolumeId=source_id)
    assert the_volume(svc, copy_id)["State"] == "available"
    assert content(svc, copy_id) == {5: "x"}
    nothing_is_left(svc)


def test_a_copy_deleted_at_once_leaves_nothing(svc: Services) -> None:
    source_id = a_written_volume(svc)
    copy_id = begun(svc, source_id)
    ask(svc, "DeleteVolume", VolumeId=copy_id)
    registry.sweep(svc)
    assert [each["VolumeId"] for each in ask(svc, "DescribeVolumes")["Volumes"]] == [source_id]
    nothing_is_left(svc)


def test_a_copy_survives_a_power_cut_at_any_moment(tmp_path: Path) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        source_id = a_written_volume(svc)
        return lambda: ask(svc, "CopyVolumes", SourceVolumeId=source_id)

    def end(svc: Services) -> None:
        found = ask(svc, "DescribeVolumes")["Volumes"]
        for each in found:
            assert each["State"] == "available"
            if "SourceVolumeId" in each:
                assert content(svc, each["VolumeId"]) == {5: "x"}
        nothing_is_left(svc)

    assert assert_survives(tmp_path, begin, lambda svc: None, end) > 6
