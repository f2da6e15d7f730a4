"""The ladder by which an image goes out of use, and the guard against its deregistration."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from openami.catalog import images, snapshots
from openami.domain.caller import Caller
from openami.domain.errors import IncorrectState
from openami.domain.ids import ImageId
from openami.domain.image import Image, ImageEvent, ImageState
from openami.services import Services


def enable_image_deprecation(
    svc: Services, caller: Caller, image_id: ImageId, at: datetime
) -> None:
    """From `at` on, listings of other accounts leave the image out. It can still be launched."""

    def change(image: Image) -> Image:
        if image.state is ImageState.FAILED:
            raise IncorrectState(image_id, image.state, "EnableImageDeprecation")
        return image.deprecated(at, svc.clock.now())

    _change(svc, caller, image_id, change)


def disable_image_deprecation(svc: Services, caller: Caller, image_id: ImageId) -> None:
    """Cancel the deprecation. A public image keeps the one that its age gives it."""
    _change(svc, caller, image_id, lambda image: replace(image, deprecated_at=None))


def disable_image(svc: Services, caller: Caller, image_id: ImageId) -> None:
    """No more launches, by nobody; it is its owner's alone, and listed only when asked for."""
    _change(svc, caller, image_id, lambda image: image.disabled())


def enable_image(svc: Services, caller: Caller, image_id: ImageId) -> None:
    """Launches are possible again. With whom it was shared before is forgotten.

    Raises IncorrectState as long as a snapshot of it, of the same owner, is archived.
    """
    with svc.catalog.begin() as tx:
        image = images.fetch_owned(tx, image_id, caller.account, caller.region)
        for mapping in image.block_device_mappings:
            its = None if mapping.ebs is None else mapping.ebs.snapshot_id
            snapshot = None if its is None else snapshots.fetch_any(tx, its)
            if snapshot is not None and snapshot.owner == image.owner:
                snapshot.usable()
        images.save(tx, image.after(ImageEvent.ENABLE))


def enable_image_deregistration_protection(
    svc: Services, caller: Caller, image_id: ImageId, with_cooldown: bool
) -> Image:
    """DeregisterImage is refused until the protection is disabled, and a day more if so asked."""
    return _change(svc, caller, image_id, lambda image: image.protected(with_cooldown))


def disable_image_deregistration_protection(
    svc: Services, caller: Caller, image_id: ImageId
) -> Image:
    """The protection ends: now, or when its cooldown has passed."""
    return _change(svc, caller, image_id, lambda image: image.unprotected(svc.clock.now()))


def _change(
    svc: Services, caller: Caller, image_id: ImageId, change: Callable[[Image], Image]
) -> Image:
    with svc.catalog.begin() as tx:
        changed = change(images.fetch_owned(tx, image_id, caller.account, caller.region))
        images.save(tx, changed)
        return changed
