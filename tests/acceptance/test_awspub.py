"""awspub, unchanged, as publishers of images run it: create, list, publish, cleanup."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support import programs
from support.server import Server

pytestmark = pytest.mark.timeout(600)

REQUIREMENTS = ("awspub==0.0.16",)
ACCOUNT = "awspub"
BUCKET = "awspub-uploads"
PARAMETER = "/publishers/tiny"
PARTS_BYTES = 12 << 20  # awspub's parts have 8 MiB


def test_awspub_creates_lists_publishes_and_cleans_up(
    record_server: Server, tmp_path: Path
) -> None:
    record_server.client("s3", ACCOUNT).create_bucket(Bucket=BUCKET)
    friend = record_server.account("awspubs-friend").account
    config = _config(tmp_path, friend)
    made = awspub(record_server, tmp_path, "create", config)["images"]
    assert set(made) == {"tiny", "tiny-draft"}
    assert set(made["tiny"]) == {"us-east-1", "us-west-2"}
    for region, image_id in made["tiny"].items():
        image = _image(record_server, region, image_id)
        assert (image["State"], image["Architecture"]) == ("available", "x86_64")
        assert (image["Name"], image["BootMode"]) == ("tiny", "legacy-bios")
        assert {"Key": "of", "Value": "a test"} in image["Tags"]
        assert not image["Public"]
    again = awspub(record_server, tmp_path, "create", config)["images"]
    assert again == made, "what is there is not made twice"
    assert awspub(record_server, tmp_path, "list", config)["images"] == made
    awspub(record_server, tmp_path, "publish", config)
    for region, image_id in made["tiny"].items():
        assert _image(record_server, region, image_id)["Public"]
        ssm: Any = record_server.client("ssm", ACCOUNT, region)
        assert ssm.get_parameter(Name=PARAMETER)["Parameter"]["Value"] == image_id
    awspub(record_server, tmp_path, "cleanup", config)
    for region in made["tiny"]:
        ec2: Any = record_server.client(account=ACCOUNT, region=region)
        left = ec2.describe_images(Owners=["self"])["Images"]
        assert [each["Name"] for each in left] == ["tiny"], "only what is temporary goes"


def _image(server: Server, region: str, image_id: str) -> dict[str, Any]:
    ec2: Any = server.client(account=ACCOUNT, region=region)
    (found,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    return dict(found)


def _config(directory: Path, friend: str) -> Path:
    """Of images of one disk, which takes more than one part to upload. JSON is YAML."""
    raw = directory / "tiny.raw"
    raw.write_bytes(hashlib.shake_256(b"awspub").digest(PARTS_BYTES))
    command = ("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized")
    subprocess.run([*command, str(raw), str(directory / "tiny.vmdk")], check=True)
    ordinary = {
        "boot_mode": "legacy-bios",
        "root_device_volume_size": 1,
        "imds_support": "v2.0",
        "description": "of a test",
    }
    parameter = {"name": PARAMETER, "allow_overwrite": True, "description": "the newest"}
    told = {
        "s3": {"bucket_name": BUCKET},
        "source": {"path": "tiny.vmdk", "architecture": "x86_64"},
        "images": {
            "tiny": {
                **ordinary,
                "public": True,
                "share": [friend],
                "ssm_parameter": [parameter],
            },
            "tiny-draft": {**ordinary, "temporary": True, "separate_snapshot": True},
        },
        "tags": {"of": "a test"},
    }
    file = directory / "config.yaml"
    file.write_text(json.dumps({"awspub": told}))
    return file


def awspub(server: Server, directory: Path, verb: str, config: Path) -> dict[str, Any]:
    bin_dir = programs.python_programs("awspub", *REQUIREMENTS)
    command: list[str | Path] = [bin_dir / "awspub", verb, config]
    said = programs.run(command, env=server.client_environment(ACCOUNT), where=directory)
    return dict(json.loads(said or "{}"))
