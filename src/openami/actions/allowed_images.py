"""Allowed AMIs: an account's own rule about which images of others its users find and launch."""

from collections.abc import Sequence
from dataclasses import replace

from openami.catalog import allowed_images
from openami.domain.allowed_images import (
    AllowedImagesSettings,
    AllowedImagesState,
    ImageCriterion,
    check_criteria,
)
from openami.domain.caller import Caller
from openami.services import Services


def get_allowed_images_settings(svc: Services, caller: Caller) -> AllowedImagesSettings:
    with svc.catalog.read() as tx:
        return allowed_images.settings_of(tx, caller.account, caller.region)


def set_allowed_images_state(svc: Services, caller: Caller, state: AllowedImagesState) -> None:
    """From now on in the caller's region; the criteria stay as they are."""
    with svc.catalog.begin() as tx:
        settings = allowed_images.settings_of(tx, caller.account, caller.region)
        allowed_images.put(tx, caller.account, caller.region, replace(settings, state=state))


def replace_image_criteria(
    svc: Services, caller: Caller, criteria: Sequence[ImageCriterion]
) -> None:
    """These and no others. Raises InvalidParameterValue for one that EC2 does not take."""
    check_criteria(criteria)
    with svc.catalog.begin() as tx:
        settings = allowed_images.settings_of(tx, caller.account, caller.region)
        changed = replace(settings, criteria=tuple(criteria))
        allowed_images.put(tx, caller.account, caller.region, changed)
