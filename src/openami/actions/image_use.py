"""Which images are in use: by the caller's instances, and by other resources of the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openami.catalog import allowed_images, image_references, image_use, images, tags
from openami.domain.caller import Caller
from openami.domain.filter import Filter, Page
from openami.domain.ids import ImageId, InstanceId
from openami.domain.image import Image
from openami.domain.image_reference import ImageReference, Sought
from openami.domain.instance import Instance
from openami.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceImage:
    """An instance, its tags and its image; None if the image was gone before openami kept it.

    `allowed` says whether the account's Allowed AMIs criteria allow the image, where it has some.
    """

    instance: Instance
    image: Image | None
    allowed: bool | None
    tags: Mapping[str, str]

    @property
    def id(self) -> InstanceId:
        return self.instance.id


def describe_instance_image_metadata(
    svc: Services,
    caller: Caller,
    instance_ids: Sequence[InstanceId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[InstanceImage]:
    """The caller's instances with their images, also those deregistered or no longer shared.

    Raises InstanceNotFound.
    """
    now = svc.clock.now()
    with svc.catalog.read() as tx:
        found = image_use.describe_instances(tx, caller, instance_ids, conditions, page, now)
        used = image_use.images_of(tx, found)
        allowed = allowed_images.allowed(tx, caller.account, caller.region, list(used), now)
        tagged = tags.of_many(tx, caller.account, [each.id for each in found])
    return [
        InstanceImage(
            instance=each,
            image=used.get(each.image_id),
            allowed=allowed.get(each.image_id),
            tags=tagged.get(each.id, {}),
        )
        for each in found
    ]


def describe_image_references(
    svc: Services, caller: Caller, image_ids: Sequence[ImageId], sought: Sought, page: Page
) -> list[ImageReference]:
    """The caller's resources that name one of the images, each of which it must see.

    Raises ImageNotFound.
    """
    with svc.catalog.read() as tx:
        images.check_visible(tx, caller, image_ids)
        return image_references.describe(tx, caller, image_ids, sought, page)
