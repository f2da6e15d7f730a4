"""What an account settles for all its instances: metadata defaults, access to consoles."""

from pathlib import Path
from typing import Any

import pytest

from openami.domain.ids import Region
from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask, put, refused
from support.builders import BOB, a_snapshot, an_image
from support.calls import instance
from support.fakes import services

DEFAULTS = "ModifyInstanceMetadataDefaults"


def launchable(tmp_path: Path) -> Services:
    svc = services(tmp_path)
    a_bootable_image(svc)
    return svc


def options(svc: Services, **request: Any) -> dict[str, Any]:
    """The metadata options of an instance that is launched so."""
    its = instance(svc, a_running_instance(svc, **request))["MetadataOptions"]
    return {name: its[name] for name in ("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint")}


def test_an_account_without_preferences_has_no_defaults(tmp_path: Path) -> None:
    svc = services(tmp_path)
    told = ask(svc, "GetInstanceMetadataDefaults")["AccountLevel"]
    assert {name: value for name, value in told.items() if value is not None} == {
        "ManagedBy": "account"
    }


def test_a_launch_takes_the_accounts_defaults_where_it_says_nothing(tmp_path: Path) -> None:
    svc = launchable(tmp_path)
    ask(svc, DEFAULTS, HttpTokens="required", HttpPutResponseHopLimit=7)
    assert options(svc) == {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 7,
        "HttpEndpoint": "enabled",
    }
    said = options(svc, MetadataOptions={"HttpTokens": "optional"})
    assert (said["HttpTokens"], said["HttpPutResponseHopLimit"]) == ("optional", 7)


def test_a_template_goes_before_the_accounts_defaults(tmp_path: Path) -> None:
    svc = launchable(tmp_path)
    ask(svc, DEFAULTS, HttpTokens="required", HttpEndpoint="disabled")
    template = {"MetadataOptions": {"HttpTokens": "optional"}}
    ask(svc, "CreateLaunchTemplate", LaunchTemplateName="old", LaunchTemplateData=template)
    launched = options(svc, LaunchTemplate={"LaunchTemplateName": "old"})
    assert (launched["HttpTokens"], launched["HttpEndpoint"]) == ("optional", "disabled")


def test_the_accounts_defaults_go_before_the_images(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_snapshot(), an_image(boot_mode="legacy-bios", imds_support="v2.0"))
    assert (options(svc)["HttpTokens"], options(svc)["HttpPutResponseHopLimit"]) == ("required", 2)
    ask(svc, DEFAULTS, HttpTokens="optional")
    assert (options(svc)["HttpTokens"], options(svc)["HttpPutResponseHopLimit"]) == ("optional", 2)


def test_a_preference_is_taken_back_and_the_others_stay(tmp_path: Path) -> None:
    svc = launchable(tmp_path)
    ask(svc, DEFAULTS, HttpTokens="required", HttpPutResponseHopLimit=7)
    ask(svc, DEFAULTS, HttpTokens="no-preference", InstanceMetadataTags="enabled")
    assert options(svc)["HttpTokens"] == "optional"
    assert options(svc)["HttpPutResponseHopLimit"] == 7
    ask(svc, DEFAULTS, HttpPutResponseHopLimit=-1)
    assert options(svc)["HttpPutResponseHopLimit"] == 1
    told = ask(svc, "GetInstanceMetadataDefaults")["AccountLevel"]
    assert told["InstanceMetadataTags"] == "enabled"
    assert told["HttpPutResponseHopLimit"] is None


def test_defaults_are_of_one_account_in_one_region(tmp_path: Path) -> None:
    svc = launchable(tmp_path)
    ask(svc, DEFAULTS, BOB, HttpTokens="required")
    ask(svc, DEFAULTS, region=Region("us-west-2"), HttpTokens="required")
    assert options(svc)["HttpTokens"] == "optional"
    assert ask(svc, "GetInstanceMetadataDefaults")["AccountLevel"]["HttpTokens"] is None


def test_an_enforced_imdsv2_refuses_instances_with_imdsv1(tmp_path: Path) -> None:
    svc = launchable(tmp_path)
    before = a_running_instance(svc)
    ask(svc, DEFAULTS, HttpTokensEnforced="enabled")
    with refused("UnsupportedOperation", "httpTokensEnforced"):
        a_running_instance(svc)
    with refused("UnsupportedOperation", "httpTokensEnforced"):
        ask(svc, "ModifyInstanceMetadataOptions", InstanceId=before, HttpTokens="optional")
    ask(svc, "ModifyInstanceMetadataOptions", InstanceId=before, HttpPutResponseHopLimit=3)
    after = a_running_instance(svc, MetadataOptions={"HttpTokens": "required"})
    assert instance(svc, after)["MetadataOptions"]["HttpTokens"] == "required"
    ask(svc, DEFAULTS, HttpTokensEnforced="disabled")
    a_running_instance(svc)


@pytest.mark.parametrize(
    "wrong",
    [
        {"HttpTokens": "maybe"},
        {"HttpEndpoint": "optional"},
        {"HttpPutResponseHopLimit": 0},
        {"HttpPutResponseHopLimit": 65},
        {"InstanceMetadataTags": "yes"},
        {"HttpTokensEnforced": "required"},
    ],
)
def test_a_default_that_no_launch_could_have_is_refused(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    svc = services(tmp_path)
    with refused("InvalidParameterValue"):
        ask(svc, DEFAULTS, **wrong)
    with refused("InvalidParameterCombination"):
        ask(svc, DEFAULTS)


def test_access_to_serial_consoles_is_told_as_it_was_set(tmp_path: Path) -> None:
    svc = services(tmp_path)
    status = "GetSerialConsoleAccessStatus"
    assert ask(svc, status) == {"SerialConsoleAccessEnabled": False}
    assert ask(svc, "EnableSerialConsoleAccess") == {"SerialConsoleAccessEnabled": True}
    assert ask(svc, status) == {"SerialConsoleAccessEnabled": True}
    assert ask(svc, status, BOB) == {"SerialConsoleAccessEnabled": False}
    ask(svc, DEFAULTS, HttpTokens="required")
    assert ask(svc, status) == {"SerialConsoleAccessEnabled": True}
    assert ask(svc, "DisableSerialConsoleAccess") == {"SerialConsoleAccessEnabled": False}
    assert ask(svc, status) == {"SerialConsoleAccessEnabled": False}
