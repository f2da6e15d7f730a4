"""Who may see and use an image or a snapshot, and who says so (S-15, S-20, S-32 to S-36, S-39,
S-40, S-44, S-51, S-59)."""

from collections.abc import Callable, Generator
from typing import Any

import pytest

from support import api
from support.server import ClientError, Server
from support.world import registered

A, B, C = "sharing-a", "sharing-b", "sharing-c"


@pytest.fixture
def mine(record_server: Server) -> Any:
    return record_server.client(account=A)


@pytest.fixture
def theirs(record_server: Server) -> Any:
    return record_server.client(account=B)


@pytest.fixture
def others(record_server: Server) -> Any:
    return record_server.client(account=C)


@pytest.fixture
def snapshot_id(mine: Any, small_ami_of: Callable[[str], str]) -> str:
    return api.root_snapshot_id(api.image(mine, small_ami_of(A)))


@pytest.fixture
def image_id(mine: Any, snapshot_id: str, request: pytest.FixtureRequest) -> Generator[str]:
    """A fresh image of the account sharing-a, gone after the test."""
    made = registered(mine, snapshot_id, request.node.name[:100])
    yield made
    mine.deregister_image(ImageId=made)


def id_of(server: Server, account: str) -> str:
    return server.account(account).account


def share(server: Server, image_id: str, permission: str) -> None:
    server.aws(
        *("ec2", "modify-image-attribute", "--image-id", image_id),
        *("--launch-permission", permission),
        account=A,
    )


def add(ec2: Any, image_id: str, **item: str) -> None:
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [item]})


def sees(ec2: Any, image_id: str, **scope: Any) -> bool:
    return image_id in {each["ImageId"] for each in ec2.describe_images(**scope)["Images"]}


def test_s32_an_image_is_its_owners_alone_until_it_is_shared(
    record_server: Server, mine: Any, theirs: Any, image_id: str
) -> None:
    told = record_server.aws(
        *("ec2", "describe-image-attribute", "--image-id", image_id),
        *("--attribute", "launchPermission"),
        account=A,
    )
    assert told == {"ImageId": image_id, "LaunchPermissions": []}
    assert api.image(mine, image_id)["Public"] is False
    assert not sees(theirs, image_id)


def test_s33_an_image_is_shared_with_one_account(
    record_server: Server, theirs: Any, others: Any, image_id: str
) -> None:
    share(record_server, image_id, f"Add=[{{UserId={id_of(record_server, B)}}}]")
    seen = record_server.aws("ec2", "describe-images", "--executable-users", "self", account=B)
    assert [each["ImageId"] for each in seen["Images"]] == [image_id]
    assert api.launch(theirs, image_id)["ImageId"] == image_id
    change = {"ImageId": image_id, "Description": {"Value": "mine now"}}
    assert api.refusal(theirs.modify_image_attribute, **change) == "AuthFailure"
    assert api.refusal(theirs.deregister_image, ImageId=image_id) == "AuthFailure"
    assert not sees(others, image_id)
    assert api.refusal(api.launch, others, image_id) == "InvalidAMIID.NotFound"


def test_s34_a_public_image_is_everybodys_to_see_and_launch(
    record_server: Server, mine: Any, theirs: Any, others: Any, image_id: str
) -> None:
    share(record_server, image_id, "Add=[{Group=all}]")
    assert api.image(mine, image_id)["Public"] is True
    for ec2 in (theirs, others):
        assert sees(ec2, image_id)
        assert sees(ec2, image_id, ExecutableUsers=["all"])
        assert not sees(ec2, image_id, ExecutableUsers=["self"])
    assert api.launch(others, image_id)["ImageId"] == image_id


def test_s35_an_image_is_shared_with_a_unit_of_an_organization(
    record_server: Server, mine: Any, theirs: Any, others: Any, image_id: str
) -> None:
    for account in (A, B, C):
        record_server.account(account)
    organization = record_server.openami("org", "create", A).stdout.strip()
    unit = record_server.openami("org", "ou", organization, "web").stdout.strip()
    below = record_server.openami("org", "ou", unit, "shop").stdout.strip()
    record_server.openami("org", "add", B, below)
    share(record_server, image_id, f"Add=[{{OrganizationalUnitArn={unit}}}]")
    assert sees(theirs, image_id, ExecutableUsers=["self"])
    assert api.launch(theirs, image_id)["ImageId"] == image_id
    assert not sees(others, image_id)
    record_server.openami("org", "add", C, organization)
    assert not sees(others, image_id)
    add(mine, image_id, OrganizationArn=organization)
    assert sees(others, image_id)
    told = mine.describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
    assert told["LaunchPermissions"] == [
        {"OrganizationArn": organization},
        {"OrganizationalUnitArn": unit},
    ]
    listed = record_server.openami("org", "list").stdout
    assert listed.splitlines() == [
        organization,
        f"  {id_of(record_server, A)}",
        f"  {id_of(record_server, C)}",
        f"  web  {unit}",
        f"    shop  {below}",
        f"      {id_of(record_server, B)}",
    ]
    record_server.openami("org", "remove", B)
    assert not sees(theirs, image_id)


def test_s35_an_organization_that_is_none_is_refused_in_ec2s_words(
    record_server: Server, image_id: str
) -> None:
    arn = "arn:aws:organizations::123456789012:organization/o-0123456789"
    with pytest.raises(ClientError) as refused:
        share(record_server, image_id, f"Add=[{{OrganizationArn={arn}}}]")
    assert refused.value.code == "InvalidAMIAttributeItemValue"
    words = f'Invalid attribute item value "{arn}" for OrganizationArn item type.'
    assert words in refused.value.text


def test_s36_a_permission_is_revoked_reset_and_given_up_and_what_runs_goes_on(
    record_server: Server, mine: Any, theirs: Any, image_id: str
) -> None:
    user = {"UserId": id_of(record_server, B)}
    add(mine, image_id, **user)
    running = api.launch(theirs, image_id)["InstanceId"]
    share(record_server, image_id, f"Remove=[{{UserId={user['UserId']}}}]")
    assert api.refusal(api.launch, theirs, image_id) == "InvalidAMIID.NotFound"
    add(mine, image_id, **user)
    record_server.aws(
        *("ec2", "reset-image-attribute", "--image-id", image_id),
        *("--attribute", "launchPermission"),
        account=A,
    )
    assert not sees(theirs, image_id)
    add(mine, image_id, **user)
    done = record_server.aws(
        "ec2", "cancel-image-launch-permission", "--image-id", image_id, account=B
    )
    assert done == {"Return": True}
    assert not sees(theirs, image_id)
    told = mine.describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
    assert told["LaunchPermissions"] == []
    assert api.instance(theirs, running)["State"]["Name"] == "running"
    api.stop(theirs, running)
    api.start(theirs, running)


def test_s39_a_dry_run_tells_who_may_and_changes_nothing(
    record_server: Server, mine: Any, theirs: Any, image_id: str
) -> None:
    add(mine, image_id, UserId=id_of(record_server, B))
    change = ("ec2", "modify-image-attribute", "--image-id", image_id, "--dry-run")
    for account, code in ((A, "DryRunOperation"), (B, "AuthFailure"), (C, "InvalidAMIID.NotFound")):
        with pytest.raises(ClientError) as refused:
            record_server.aws(*change, "--launch-permission", "Add=[{Group=all}]", account=account)
        assert refused.value.code == code
    assert not api.image(mine, image_id)["Public"]
    launch = {"ImageId": image_id, "MinCount": 1, "MaxCount": 1, "DryRun": True}
    assert api.refusal(theirs.run_instances, **launch) == "DryRunOperation"
    cancel = {"ImageId": image_id, "DryRun": True}
    assert api.refusal(theirs.cancel_image_launch_permission, **cancel) == "DryRunOperation"
    assert sees(theirs, image_id)


def test_s40_block_public_access_keeps_an_account_from_leaks(
    record_server: Server, mine: Any, others: Any, image_id: str, snapshot_id: str
) -> None:
    public = {"SnapshotId": snapshot_id, "CreateVolumePermission": {"Add": [{"Group": "all"}]}}
    mine.modify_snapshot_attribute(**public)
    scope = {"RestorableByUserIds": ["all"], "SnapshotIds": [snapshot_id]}
    assert len(others.describe_snapshots(**scope)["Snapshots"]) == 1
    enable = ("ec2", "enable-image-block-public-access")
    record_server.aws(*enable, "--image-block-public-access-state", "block-new-sharing", account=A)
    record_server.aws(
        *("ec2", "enable-snapshot-block-public-access", "--state", "block-all-sharing"), account=A
    )
    try:
        state = mine.get_image_block_public_access_state()
        assert state["ImageBlockPublicAccessState"] == "block-new-sharing"
        image = {"ImageId": image_id, "LaunchPermission": {"Add": [{"Group": "all"}]}}
        assert api.refusal(mine.modify_image_attribute, **image) == "OperationNotPermitted"
        assert api.refusal(mine.modify_snapshot_attribute, **public) == "OperationNotPermitted"
        assert api.refusal(others.describe_snapshots, **scope) == "InvalidSnapshot.NotFound"
    finally:
        mine.disable_image_block_public_access()
        mine.disable_snapshot_block_public_access()
    assert len(others.describe_snapshots(**scope)["Snapshots"]) == 1
    mine.reset_snapshot_attribute(SnapshotId=snapshot_id, Attribute="createVolumePermission")
    assert api.refusal(others.describe_snapshots, **scope) == "InvalidSnapshot.NotFound"


def test_s40_allowed_amis_keep_an_account_from_servers_of_strangers(
    record_server: Server, mine: Any, theirs: Any, image_id: str
) -> None:
    add(mine, image_id, UserId=id_of(record_server, B))
    settings = ("ec2", "enable-allowed-images-settings", "--allowed-images-settings-state")
    record_server.aws(*settings, "audit-mode", account=B)
    assert api.image(theirs, image_id)["ImageAllowed"] is False
    record_server.aws(*settings, "enabled", account=B)
    try:
        assert not sees(theirs, image_id)
        assert api.refusal(api.launch, theirs, image_id) == "InvalidAMIID.NotFound"
        provider = id_of(record_server, A)
        record_server.aws(
            *("ec2", "replace-image-criteria-in-allowed-images-settings", "--image-criteria"),
            f"ImageProviders={provider},ImageNames=test_s40_*",
            account=B,
        )
        assert api.image(theirs, image_id)["ImageAllowed"] is True
        api.launch(theirs, image_id)
    finally:
        theirs.disable_allowed_images_settings()


def test_s44_permissions_of_the_image_say_who_launches_and_of_the_snapshot_who_has_its_bytes(
    record_server: Server, mine: Any, theirs: Any, image_id: str, snapshot_id: str
) -> None:
    assert api.refusal(api.launch, theirs, image_id) == "InvalidAMIID.NotFound"
    add(mine, image_id, UserId=id_of(record_server, B))
    launched = api.launch(theirs, image_id)
    made = api.volume(theirs, api.root_volume_id(launched))
    assert made["SnapshotId"] == snapshot_id
    volume = {"AvailabilityZone": "us-east-1a", "SnapshotId": snapshot_id}
    assert api.refusal(theirs.create_volume, **volume) == "InvalidSnapshot.NotFound"
    assert api.refusal(registered, theirs, snapshot_id, "stolen") == "InvalidSnapshot.NotFound"
    record_server.aws(
        *("ec2", "modify-snapshot-attribute", "--snapshot-id", snapshot_id),
        *("--attribute", "createVolumePermission", "--operation-type", "add"),
        *("--user-ids", id_of(record_server, B)),
        account=A,
    )
    try:
        made = theirs.create_volume(**volume)
        api.await_state(theirs, "volume_available", VolumeIds=[made["VolumeId"]])
        assert api.launch(theirs, registered(theirs, snapshot_id, "lent"))["State"]
    finally:
        mine.reset_snapshot_attribute(SnapshotId=snapshot_id, Attribute="createVolumePermission")


def test_s44_who_may_launch_is_asked_at_each_way_of_using_an_image(
    record_server: Server, mine: Any, theirs: Any, image_id: str
) -> None:
    permission = {"UserId": id_of(record_server, B)}
    add(mine, image_id, **permission)
    data = {"ImageId": image_id, "InstanceType": "t3.micro"}
    template = theirs.create_launch_template(LaunchTemplateName="s44", LaunchTemplateData=data)
    template_id = template["LaunchTemplate"]["LaunchTemplateId"]
    run = ("ec2", "run-instances", "--launch-template", f"LaunchTemplateId={template_id}")
    (running,) = record_server.aws(*run, account=B)["Instances"]
    assert running["ImageId"] == image_id
    api.await_state(theirs, "instance_running", InstanceIds=[running["InstanceId"]])
    replace = {"InstanceId": running["InstanceId"], "ImageId": image_id}
    mine.modify_image_attribute(ImageId=image_id, LaunchPermission={"Remove": [permission]})
    with pytest.raises(ClientError) as refused:
        record_server.aws(*run, account=B)
    assert refused.value.code == "InvalidAMIID.NotFound"
    code = api.refusal(theirs.create_replace_root_volume_task, **replace)
    assert code == "InvalidAMIID.NotFound"
    add(mine, image_id, **permission)
    task = theirs.create_replace_root_volume_task(**replace)["ReplaceRootVolumeTask"]
    assert task["ImageId"] == image_id


def test_s51_pitfall_3_sharing_with_everybody_is_refused_and_with_an_account_it_works(
    record_server: Server, mine: Any, theirs: Any, others: Any, image_id: str
) -> None:
    """The tutorial's command, word by word, in an account that blocks public access."""
    mine.enable_image_block_public_access(ImageBlockPublicAccessState="block-new-sharing")
    modify = ("ec2", "modify-image-attribute", "--image-id", image_id)
    try:
        with pytest.raises(ClientError) as refused:
            record_server.aws(*modify, "--launch-permission", "Add=[{Group=all}]", account=A)
        assert refused.value.code == "OperationNotPermitted"
        words = "block public access for AMIs is enabled for this account"
        assert words in refused.value.text
        assert "you must call the DisableImageBlockPublicAccess API" in refused.value.text
        assert not sees(others, image_id)
        right = f"Add=[{{UserId={id_of(record_server, B)}}}]"
        assert record_server.aws(*modify, "--launch-permission", right, account=A) == {}
        api.launch(theirs, image_id)
        assert not sees(others, image_id)
    finally:
        mine.disable_image_block_public_access()


def test_s59_one_image_for_many_accounts_with_tags_that_its_owner_keeps(
    record_server: Server, mine: Any, theirs: Any, others: Any, image_id: str
) -> None:
    for account in (B, C):
        add(mine, image_id, UserId=id_of(record_server, account))
    pairs = {"ec2:SharedTag/status": "approved", "team": "images"}
    mine.create_tags(Resources=[image_id], Tags=api.tags(pairs))
    for ec2 in (theirs, others):
        assert api.launch(ec2, image_id)["ImageId"] == image_id
        filters = [{"Name": "tag:ec2:SharedTag/status", "Values": ["approved"]}]
        (seen,) = ec2.describe_images(Filters=filters, ImageIds=[image_id])["Images"]
        assert seen["Tags"] == api.tags({"ec2:SharedTag/status": "approved"})
    theirs.create_tags(Resources=[image_id], Tags=api.tags({"used-by": "b"}))
    assert "used-by" not in {each["Key"] for each in api.image(others, image_id)["Tags"]}
    change = {"Resources": [image_id], "Tags": api.tags({"ec2:SharedTag/status": "bad"})}
    assert api.refusal(theirs.create_tags, **change) == "AuthFailure"


def test_s20_of_an_image_only_what_ec2_names_may_change(
    record_server: Server, mine: Any, image_id: str
) -> None:
    before = api.image(mine, image_id)
    record_server.aws(
        *("ec2", "modify-image-attribute", "--image-id", image_id, "--description", "Value=better"),
        account=A,
    )
    mine.modify_image_attribute(ImageId=image_id, ImdsSupport={"Value": "v2.0"})
    after = api.image(mine, image_id)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"Description", "ImdsSupport"}
    for attribute in ("name", "kernel", "blockDeviceMapping", "sriovNetSupport", "bootMode"):
        change = {"ImageId": image_id, "Attribute": attribute, "Value": "x"}
        assert api.refusal(mine.modify_image_attribute, **change) in (
            "InvalidParameterCombination",
            "InvalidParameter",
        )
    back = {"ImageId": image_id, "ImdsSupport": {"Value": "v1.0"}}
    assert api.refusal(mine.modify_image_attribute, **back) == "InvalidParameterValue"
    assert api.image(mine, image_id) == after
