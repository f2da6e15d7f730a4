import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.domain.metadata import MetadataOptions, PublicKey, Switch
from openami.imds.tree import look_up
from support.metadata import a_metadata

MAC = a_metadata().mac
INTERFACE = f"meta-data/network/interfaces/macs/{MAC}"

# What Debian 12's cloud-init 22.4 asks for at its first boot, as measured.
CLOUD_INIT_ASKS = [
    "meta-data/instance-id",
    "user-data",
    "meta-data/",
    "meta-data/block-device-mapping/",
    "meta-data/block-device-mapping/ami",
    "meta-data/block-device-mapping/root",
    "meta-data/placement/",
    "meta-data/placement/availability-zone",
    "meta-data/placement/region",
    "meta-data/public-keys/",
    "meta-data/public-keys/0/openssh-key",
    "meta-data/services/",
    "meta-data/services/domain",
    "meta-data/services/partition",
    "meta-data/network/",
    "meta-data/network/interfaces/",
    "meta-data/network/interfaces/macs/",
    f"{INTERFACE}/",
    f"{INTERFACE}/device-number",
    f"{INTERFACE}/interface-id",
    f"{INTERFACE}/local-hostname",
    f"{INTERFACE}/local-ipv4s",
    f"{INTERFACE}/mac",
    f"{INTERFACE}/owner-id",
    f"{INTERFACE}/security-groups",
    f"{INTERFACE}/subnet-id",
    f"{INTERFACE}/subnet-ipv4-cidr-block",
    f"{INTERFACE}/vpc-id",
    f"{INTERFACE}/vpc-ipv4-cidr-block",
    f"{INTERFACE}/vpc-ipv4-cidr-blocks",
    "meta-data/ami-id",
    "meta-data/ami-launch-index",
    "meta-data/ami-manifest-path",
    "meta-data/hostname",
    "meta-data/instance-action",
    "meta-data/instance-id",
    "meta-data/instance-life-cycle",
    "meta-data/instance-type",
    "meta-data/local-hostname",
    "meta-data/local-ipv4",
    "meta-data/mac",
    "meta-data/profile",
    "meta-data/reservation-id",
    "meta-data/security-groups",
    "dynamic/instance-identity",
    "dynamic/instance-identity/document",
]


def told(path: str, **changes: object) -> str | None:
    found = look_up(a_metadata(**changes), path)
    return None if found is None else found.body.decode()


@pytest.mark.parametrize("version", ["2021-03-23", "latest", "1.0", "2009-04-04"])
@pytest.mark.parametrize("path", CLOUD_INIT_ASKS)
def test_everything_cloud_init_asks_for_is_there(version: str, path: str) -> None:
    assert look_up(a_metadata(user_data=b"#!/bin/sh\n"), f"/{version}/{path}") is not None


def test_every_name_that_a_listing_tells_can_be_followed_to_its_end() -> None:
    metadata = a_metadata(
        user_data=b"x",
        public_ip="127.100.0.9",
        public_hostname="ec2-127-100-0-9.example",
        tags={"Name": "web 1"},
        options=MetadataOptions(instance_metadata_tags=Switch.ENABLED),
    )
    leaves: list[str] = []

    def follow(directory: str) -> None:
        listing = look_up(metadata, directory)
        assert listing is not None, directory
        for name in listing.body.decode().split("\n"):
            if directory.endswith("/public-keys/"):
                name = name.split("=")[0] + "/"
            if name.endswith("/"):
                follow(directory + name)
            else:
                leaves.append(directory + name)
                assert look_up(metadata, directory + name) is not None

    follow("/latest/meta-data/")
    follow("/latest/dynamic/")
    assert "/latest/meta-data/tags/instance/Name" in leaves
    assert "/latest/meta-data/public-keys/0/openssh-key" in leaves
    assert "/latest/dynamic/instance-identity/document" in leaves


def test_a_directory_is_listed_with_and_without_its_slash() -> None:
    assert told("/latest/meta-data/placement") == told("/latest/meta-data/placement/")
    assert told("/latest/meta-data/placement/") == "availability-zone\nregion"


def test_the_roots_are_listed_as_ec2_does() -> None:
    assert told("/").split("\n")[-1] == "latest"
    assert told("/latest/") == "dynamic\nmeta-data"
    assert told("/latest/", user_data=b"x") == "dynamic\nmeta-data\nuser-data"


def test_keys_are_listed_with_their_names() -> None:
    keys = (PublicKey(name="mine", openssh_text="ssh-ed25519 A a"),)
    assert told("/latest/meta-data/public-keys/", public_keys=keys) == "0=mine"
    assert told("/latest/meta-data/public-keys/0", public_keys=keys) == "openssh-key"
    text = told("/latest/meta-data/public-keys/0/openssh-key", public_keys=keys)
    assert text == "ssh-ed25519 A a"


@pytest.mark.parametrize(
    "path",
    [
        "/2031-01-01/meta-data/",
        "/latest/user-data",
        "/latest/meta-data/public-ipv4",
        "/latest/meta-data/public-keys/",
        "/latest/meta-data/iam/info",
        "/latest/meta-data/spot/instance-action",
        "/latest/meta-data/tags/instance/",
        "/latest/dynamic/instance-identity/pkcs7",
        "/latest/dynamic/instance-identity/signature",
        "/latest/meta-data/mac/deeper",
        "/latest/meta-data/../user-data",
        "/nothing",
    ],
)
def test_what_an_instance_does_not_have_is_absent(path: str) -> None:
    assert look_up(a_metadata(public_keys=(), tags={"a": "b"}), path) is None


def test_tags_are_told_only_when_the_instance_says_so() -> None:
    shown = MetadataOptions(instance_metadata_tags=Switch.ENABLED)
    tags = {"Name": "web", "cost centre": "7"}
    assert told("/latest/meta-data/tags/instance", tags=tags, options=shown) == "Name\ncost centre"
    assert told("/latest/meta-data/tags/instance/cost%20centre", tags=tags, options=shown) == "7"
    assert told("/latest/meta-data/tags/instance/Name", tags=tags) is None


def test_user_data_comes_back_byte_for_byte() -> None:
    data = bytes(range(256))
    found = look_up(a_metadata(user_data=data), "/latest/user-data")
    assert found is not None
    assert (found.body, found.content_type) == (data, "application/octet-stream")


def test_empty_user_data_is_there_and_empty() -> None:
    assert told("/latest/user-data", user_data=b"") == ""


def test_a_public_address_is_told_with_its_association() -> None:
    at = f"/latest/{INTERFACE}/ipv4-associations/127.100.0.9"
    metadata = a_metadata(public_ip="127.100.0.9")
    assert look_up(metadata, at) == look_up(metadata, "/latest/meta-data/local-ipv4")
    assert told("/latest/meta-data/public-ipv4", public_ip="127.100.0.9") == "127.100.0.9"


def test_the_identity_document_is_json_like_ec2s() -> None:
    document = json.loads(told("/latest/dynamic/instance-identity/document") or "")
    metadata = a_metadata()
    assert document["instanceId"] == metadata.instance_id
    assert document["accountId"] == metadata.account
    assert document["imageId"] == metadata.image_id
    assert document["pendingTime"] == "2026-01-02T03:04:05Z"
    assert document["version"] == "2017-09-30"
    assert document["kernelId"] is None


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=80))
def test_any_path_is_found_or_not_and_nothing_else(path: str) -> None:
    look_up(a_metadata(), "/latest/" + path)
    look_up(a_metadata(), path)


def test_a_change_of_the_instance_is_told_at_once() -> None:
    metadata = a_metadata()
    assert told("/latest/meta-data/instance-type") == metadata.instance_type
    larger = replace(metadata, instance_type="m5.large")
    found = look_up(larger, "/latest/meta-data/instance-type")
    assert found is not None
    assert found.body == b"m5.large"
