"""A server that keeps the chunks of one region in S3, and those of the other in a directory."""

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from openami.app import RealClock, RealIds
from openami.objects.store import Endpoint
from openami.objects.weed import EmbeddedS3
from support import api
from support.objects import make_bucket
from support.server import Server, serving

EAST, WEST = "us-east-1", "us-west-2"
SMALL_BYTES = 16 << 20


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Endpoint]:
    """What docs/storage.md has an operator install: SeaweedFS, and a bucket in it."""
    embedded = EmbeddedS3(tmp_path_factory.mktemp("s3"), RealClock(), RealIds())
    try:
        make_bucket(embedded.endpoint(), "chunks")
        yield embedded.endpoint()
    finally:
        embedded.close()


@pytest.fixture(scope="module")
def server(seaweed: Endpoint) -> Generator[Server]:
    directory = Path(tempfile.mkdtemp(prefix="openami-acceptance-"))
    try:
        with serving(
            directory / "state",
            "record",
            settle_timeout_s="60",
            region_stores=f"{EAST}=s3://chunks/east?endpoint={seaweed.url}",
            region_store_keys=f"{EAST}={seaweed.access_key_id}:{seaweed.secret_access_key}",
        ) as server:
            yield server
    finally:
        shutil.rmtree(directory)


def exported(server: Server, snapshot_id: str, file: Path) -> bytes:
    """The beginning of the disk: the rest of its gibibyte is a hole."""
    server.openami("store", "export", snapshot_id, str(file))
    with file.open("rb") as disk:
        return disk.read(SMALL_BYTES)


def root_snapshot(ec2: Any, image_id: str) -> str:
    return api.image(ec2, image_id)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]


def test_an_images_whole_life_with_its_chunks_in_s3(
    server: Server, seaweed: Endpoint, small_disk: Path, tmp_path: Path
) -> None:
    """Import, launch, snapshot, copy there and back, export, verify, delete, collect."""
    east, west = server.client(), server.client(region=WEST)
    image_id = server.openami("image", "import", str(small_disk), "--name", "small").stdout.strip()
    assert not list((server.state_dir / "chunks").glob("c/*/*")), "the region's bytes are in S3"
    content = small_disk.read_bytes()
    assert exported(server, root_snapshot(east, image_id), tmp_path / "imported") == content

    instance = east.run_instances(ImageId=image_id, MinCount=1, MaxCount=1)["Instances"][0]
    api.await_state(east, "instance_running", InstanceIds=[instance["InstanceId"]])
    made = east.create_image(InstanceId=instance["InstanceId"], Name="made")["ImageId"]
    api.await_state(east, "image_available", ImageIds=[made])

    away = west.copy_image(Name="away", SourceImageId=made, SourceRegion=EAST)["ImageId"]
    api.await_state(west, "image_available", ImageIds=[away])
    back = east.copy_image(Name="back", SourceImageId=away, SourceRegion=WEST)["ImageId"]
    api.await_state(east, "image_available", ImageIds=[back])

    assert "0 missing, 0 corrupt" in server.openami("store", "verify").stdout
    found = server.openami("doctor", check=False).stdout
    assert "ok  the regions' stores answer and are this catalog's" in found

    server.stop()
    server.start()
    assert exported(server, root_snapshot(east, back), tmp_path / "back") == content

    east.terminate_instances(InstanceIds=[instance["InstanceId"]])
    api.await_state(east, "instance_terminated", InstanceIds=[instance["InstanceId"]])
    told = server.openami("store", "du", image_id, made, back).stdout
    foretold = int(told.splitlines()[-1].split()[-2])
    for each in (image_id, made, back):
        east.deregister_image(ImageId=each, DeleteAssociatedSnapshots=True)
    assert f"({foretold} bytes) are gone" in server.openami("store", "gc").stdout
    assert f"{EAST}: 0 chunks and 0 manifest pages" in server.openami("store", "verify").stdout
    assert exported(server, root_snapshot(west, away), tmp_path / "alone") == content
    assert seaweed.secret_access_key not in server.log_text()
